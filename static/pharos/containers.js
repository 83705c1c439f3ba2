/* The page of a container: its charts, drawn anew whenever static/pharos/live.js brings numbers, and its last log lines. */
(() => {
  "use strict";

  const $ = (selector) => document.querySelector(selector);
  const LINES = 12;
  const BYTES = ["B", "KB", "MB", "GB", "TB"];

  function bytes(value) {
    let unit = 0;
    for (; value >= 1024 && unit < BYTES.length - 1; unit += 1) value /= 1024;
    return `${value >= 10 || !unit ? Math.round(value) : value.toFixed(1)} ${BYTES[unit]}`;
  }
  const percent = (value) => `${value >= 10 ? Math.round(value) : Number(value.toFixed(1))} %`;

  const CHARTS = [
    { id: "chart-cpu", format: percent, lines: [["CPU", "cpu_percent", "--info"]] },
    { id: "chart-memory", format: bytes, lines: [["memory", "memory_bytes", "--s1"]], limit: "memory_limit", binary: true },
    { id: "chart-network", format: bytes, lines: [["received", "network_rx", "--info"], ["sent", "network_tx", "--s1"]], binary: true },
    { id: "chart-block", format: bytes, lines: [["read", "block_read", "--info"], ["written", "block_write", "--s1"]], binary: true },
  ];
  const COLOURS = { red: "--bad", yellow: "--warn", green: "--ok", blue: "--info", grey: "--mute" };

  // --- Charts ----------------------------------------------------------------------------------------------------

  function options(chart, data) {
    const style = getComputedStyle($(".ph"));
    const of = (name) => style.getPropertyValue(name).trim();
    const font = { color: of("--dim"), fontSize: 11, fontFamily: "Pharos Charts, sans-serif" };
    const values = chart.lines.flatMap(([, name]) => data[name]).filter((value) => value !== null);
    const highest = Math.max(...values, 0);
    // A limit that is far away would press the line to the floor.
    const limit = data[chart.limit] && highest > data[chart.limit] / 3 ? data[chart.limit] : null;
    const step = chart.binary ? binary(limit ?? highest) : undefined;
    return {
      animation: false,
      grid: { left: 8, right: 12, top: chart.lines.length > 1 ? 30 : 14, bottom: 2, containLabel: true },
      legend: {
        show: chart.lines.length > 1, top: 2, right: 8, itemWidth: 16, itemHeight: 2, icon: "rect",
        textStyle: { color: of("--dim"), fontSize: 11 }, selectedMode: false,
      },
      xAxis: {
        type: "time", min: data.start, max: data.end,
        axisLine: { lineStyle: { color: of("--line") } }, axisTick: { show: false }, splitLine: { show: false },
        axisLabel: { ...font, hideOverlap: true },
      },
      yAxis: {
        type: "value", min: 0, max: step && Math.ceil((limit ?? highest) / step) * step || undefined, splitNumber: 3, interval: step,
        splitLine: { lineStyle: { color: of("--line") } }, axisLabel: { ...font, formatter: chart.format },
      },
      tooltip: {
        trigger: "axis", confine: true, transitionDuration: 0, axisPointer: { lineStyle: { color: of("--mute") } },
        backgroundColor: of("--card"), borderColor: of("--line"), textStyle: { color: of("--text"), fontSize: 12 },
        formatter: (points) => tooltip(chart, data, points),
      },
      series: chart.lines.map(([title, name, colour], place) => ({
        name: title, type: "line", showSymbol: false, color: of(colour), lineStyle: { width: 1.5 },
        areaStyle: chart.lines.length > 1 ? undefined : { opacity: 0.1 },
        data: data[name].map((value, step) => [data.start + (step + 0.5) * data.step, value]),
        markLine: place ? undefined : {
          symbol: "none", silent: true, animation: false,
          data: [
            ...data.marks.map((mark) => ({ xAxis: mark.at, label: { show: false }, lineStyle: { color: of(COLOURS[mark.colour]), type: "dashed", width: 1.5 } })),
            ...(limit ? [{ yAxis: limit, label: { formatter: "limit", position: "insideEndBottom", ...font }, lineStyle: { color: of("--bad"), type: "solid", width: 1 } }] : []),
          ],
        },
      })),
    };
  }

  /** Three or four lines of a round number of bytes. */
  function binary(highest) {
    let step = 1;
    while (highest / step > 4) step *= 2;
    return step;
  }

  /** Everything that is somebody else's text is escaped. */
  function tooltip(chart, data, points) {
    const at = points[0].value[0];
    const time = new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
    const rows = points.filter((point) => point.value[1] !== null)
      .map((point) => `${point.marker} ${point.seriesName} <b>${chart.format(point.value[1])}</b>`);
    const marks = data.marks.filter((mark) => Math.abs(mark.at - at) <= data.step * 2)
      .map((mark) => `▏${echarts.format.encodeHTML(mark.text)}`);
    return [time, ...rows, ...marks].join("<br>");
  }

  let drawn = "";

  function draw(anyway) {
    const text = $("#series-json")?.textContent;
    if (!text || (text === drawn && anyway !== true)) return;
    drawn = text;
    const data = JSON.parse(text);
    for (const chart of CHARTS) {
      const element = document.getElementById(chart.id);
      let instance = echarts.getInstanceByDom(element);
      if (!instance) {
        instance = echarts.init(element, null, { renderer: "canvas" });
        new ResizeObserver(() => instance.resize()).observe(element);
      }
      instance.setOption(options(chart, data), { replaceMerge: ["series"] });
    }
  }

  new MutationObserver(() => draw(true)).observe(document.documentElement, { attributeFilter: ["class"] });
  $("[data-live]").addEventListener("live:placed", draw);
  draw();

  // --- The last log lines ----------------------------------------------------------------------------------------

  const list = $("#last-lines");
  if (!list) return;
  const search = new URLSearchParams({ q: list.dataset.query });
  let attempt = 0;

  function rowsIn(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return [...template.content.querySelectorAll(".row")].slice(0, LINES);
  }

  /** Newest first. Ids are r-<time>-<sequence>; what is there already stays. */
  function add(rows) {
    const fresh = rows.filter((row) => !document.getElementById(row.id));
    list.prepend(...fresh);
    for (const row of [...list.children].slice(LINES)) row.remove();
    $("#no-lines").hidden = list.childElementCount > 0;
  }

  function say(text, name) {
    $("#lines-state").textContent = text;
    $("#lines-state").className = `live-state ${name}`;
  }

  function follow() {
    const url = new URL(`/ws/logs/?${search}`, location);
    url.protocol = location.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.onopen = async () => {
      const answer = await fetch(`${list.dataset.address}?${search}&from=-24h`, { headers: { "HX-Request": "true" } });
      if (answer.ok) add(rowsIn(await answer.text()));
      attempt = 0;
      say("live", "live");
    };
    socket.onmessage = ({ data }) => { if (data.startsWith("<")) add(rowsIn(data)); };
    socket.onclose = ({ code }) => {
      say("not live", "cut");
      if (code >= 4000) return;
      attempt += 1;
      setTimeout(follow, Math.min(500 * 2 ** attempt, 5000) * (0.75 + Math.random() / 2));
    };
  }
  follow();
})();
