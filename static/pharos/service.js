/* The page of a service: its parts as they change, its latency, its newest log lines. */
(() => {
  "use strict";

  const CHART_EVERY = 10000;
  const NARROWEST = 0.004; // of the chart: an outage of a minute in a month can still be clicked
  const $ = (selector, root = document) => root.querySelector(selector);

  // --- Parts -----------------------------------------------------------------------------------------------------------

  let drawnAt = Date.now();

  const socket = pharosSocket($("#service").dataset.socket, {
    opened: () => socket.send({}),
    message: take,
    state: (live) => $("#service").classList.toggle("cut", !live),
  });

  function take(message) {
    const { parts = {}, changed } = JSON.parse(message);
    for (const [id, html] of Object.entries(parts)) put(id, html);
    if (changed || Date.now() - drawnAt > CHART_EVERY) refresh();
  }

  function put(id, html) {
    const old = document.getElementById(id);
    const template = document.createElement("template");
    template.innerHTML = html;
    const fresh = template.content.firstElementChild;
    if (!old || !fresh || old.outerHTML === fresh.outerHTML) return;
    const latency = $("#service-p95"); // of a day: it comes with the page
    if (id === "service-figures" && latency) fresh.append(latency);
    // What somebody points at or has in focus stays; the next change brings it.
    if (old.contains(document.activeElement) && document.activeElement !== document.body) return;
    old.replaceWith(fresh);
    htmx.process(fresh);
  }

  // --- Latency ----------------------------------------------------------------------------------------------------------

  function colours(element) {
    const style = getComputedStyle(element);
    const of = (name) => style.getPropertyValue(name).trim();
    return { text: of("--dim"), line: of("--line"), card: of("--card"), strong: of("--text"), bad: of("--bad"), info: of("--info"),
      series: [of("--s0"), of("--s1"), of("--mute"), of("--s3"), of("--s2"), of("--s5"), of("--s4"), of("--s6"), of("--s7")] };
  }

  const escape = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const milliseconds = (value) => (value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);

  /** Nothing is drawn over times without an answer. */
  function line(points, step, column) {
    const drawn = [];
    for (const [index, point] of points.entries()) {
      if (index && point[0] - points[index - 1][0] > 2.5 * step) drawn.push([point[0] - step, null]);
      drawn.push([point[0], point[column]]);
    }
    return drawn;
  }

  function options(element, data, named) {
    const colour = colours(element);
    const font = { color: colour.text, fontSize: 11, fontFamily: "Pharos Charts, sans-serif" };
    const least = (data.end - data.start) * NARROWEST;
    const series = named.map(([name, points], index) => ({
      name, type: "line", showSymbol: false, data: points, color: colour.series[index % colour.series.length],
      lineStyle: { width: 1.5 }, emphasis: { disabled: true },
    }));
    series.push({
      name: "", type: "line", data: [], silent: false,
      markArea: {
        itemStyle: { color: colour.bad, opacity: 0.22 }, emphasis: { itemStyle: { color: colour.bad, opacity: 0.4 } },
        data: data.outages.map((outage) => [
          { xAxis: outage.from, lines: outage.lines, name: outage.why, label: { show: false } },
          { xAxis: Math.max(outage.to, outage.from + least) },
        ]),
      },
      markLine: {
        symbol: "none", silent: false, lineStyle: { color: colour.info, type: "dashed" },
        label: { formatter: ({ name }) => name, color: colour.text, fontSize: 10, position: "insideEndTop" },
        data: data.deploys.map(([at, what]) => ({ xAxis: at, name: what || "deploy" })),
      },
    });
    return {
      animation: false,
      grid: { left: 8, right: 14, top: 30, bottom: 2, containLabel: true },
      legend: { top: 2, right: 8, itemWidth: 18, itemHeight: 2, icon: "roundRect", textStyle: font, data: named.map(([name]) => name) },
      xAxis: {
        type: "time", min: data.start, max: data.end, splitNumber: 8,
        axisLine: { lineStyle: { color: colour.line } }, axisTick: { show: false }, splitLine: { show: false },
        axisLabel: { ...font, hideOverlap: true },
      },
      yAxis: {
        type: "value", name: "ms", nameTextStyle: { ...font, align: "right" }, min: 0, splitNumber: 4,
        splitLine: { lineStyle: { color: colour.line } }, axisLabel: font,
      },
      tooltip: {
        trigger: "axis", confine: true, transitionDuration: 0,
        axisPointer: { type: "line", lineStyle: { color: colour.line } },
        backgroundColor: colour.card, borderColor: colour.line, textStyle: { color: colour.strong, fontSize: 12 },
        formatter: (points) => [
          new Date(points[0].value[0]).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }),
          ...points.filter((point) => point.value[1] != null)
            .map((point) => `${point.marker} ${escape(point.seriesName)} <b>${milliseconds(point.value[1])}</b>`),
        ].join("<br>"),
      },
      series,
    };
  }

  function plot(element, make) {
    let chart = echarts.getInstanceByDom(element);
    if (!chart) {
      chart = echarts.init(element, null, { renderer: "canvas" });
      new ResizeObserver(() => chart.resize()).observe(element);
      new MutationObserver(() => chart.setOption(element.make(), true)).observe(document.documentElement, { attributeFilter: ["class"] });
      chart.on("click", ({ componentType, data }) => { if (componentType === "markArea" && data?.lines) location.href = data.lines; });
    }
    element.make = make;
    chart.setOption(make(), true);
  }

  function draw() {
    const json = $("#service-chart-json");
    const latency = $("#service-chart"), parts = $("#service-parts");
    if (!json || !latency) return;
    const data = JSON.parse(json.textContent);
    plot(latency, () => options(latency, data, ["p50", "p95", "max"].map((name, n) => [name, line(data.points, data.step, n + 1)])));
    if (parts) plot(parts, () => options(parts, data, Object.entries(data.parts).map(([name, points]) => [name, line(points, data.parts_step, 1)])));
    for (const cell of document.querySelectorAll("td[data-at]")) cell.textContent = new Date(Number(cell.dataset.at)).toLocaleString();
  }

  /** Only the numbers are taken, so that nothing flickers and an opened menu stays open. */
  async function refresh() {
    drawnAt = Date.now();
    const shown = $("#service-chart-shown");
    if (!shown || document.hidden) return;
    const answer = await fetch(shown.dataset.url, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer?.ok || shown !== $("#service-chart-shown")) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!$("#service-chart") || Boolean($("#service-parts", fresh)) !== Boolean($("#service-parts"))) {
      $("#service-latency").replaceChildren(...fresh.body.childNodes);
      htmx.process($("#service-latency"));
    } else {
      $("#service-chart-json").textContent = $("#service-chart-json", fresh).textContent;
      $("details.table tbody").replaceWith($("details.table tbody", fresh));
    }
    draw();
  }

  document.addEventListener("htmx:afterSettle", ({ target }) => {
    if (target.id === "service-latency") draw();
    if (target.id === "service-lines") follow(target.firstElementChild);
  });

  // --- Log lines ---------------------------------------------------------------------------------------------------------

  /** The rows that the logs' own socket sends go on top. */
  function follow(rows) {
    if (!rows?.dataset.lines) return;
    const most = Number(rows.dataset.most);
    const state = $("#service-lines-state");
    const lines = pharosSocket(rows.dataset.lines, {
      opened: () => lines.send({ since: Number(rows.dataset.commit) }),
      message: (html) => {
        const template = document.createElement("template");
        template.innerHTML = html;
        const frame = template.content.firstElementChild;
        if (!frame?.dataset.commit) return;
        const fresh = [...frame.children].filter((row) => row.matches(".row") && !document.getElementById(row.id));
        // Not under the pointer of somebody who reads, and not over a line that was opened.
        if (!rows.matches(":hover") && !$(".row.open", rows)) {
          rows.prepend(...fresh.slice(0, most));
          for (const row of [...rows.children].slice(most)) row.remove();
          rows.dataset.commit = frame.dataset.commit;
        }
        lines.send({ seen: Number(frame.dataset.commit) });
      },
      state: (live, text) => {
        const dot = Object.assign(document.createElement("i"), { className: `dot ${live ? "green" : "yellow"}` });
        state.replaceChildren(dot, ` ${text}`);
      },
    });
    rows.addEventListener("pointerleave", () => lines.send({ since: Number(rows.dataset.commit) }));
  }

  draw();
})();
