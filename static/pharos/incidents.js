/* The pages of incidents. static/pharos/live.js brings what has changed; this file is for hands: what is selected, keys,
   menus; and it draws the value of an incident's rule. */
(() => {
  "use strict";

  const $ = (selector, root = document) => root.querySelector(selector);
  const root = $("[data-live]");
  const list = $("#rows");

  // --- What is selected: rows that come anew stay so ---------------------------------------------------------------

  const picked = new Set();
  const button = $("#bulk-button");
  const all = $("#pick-all");
  const boxes = () => [...document.querySelectorAll("#rows input[name=incident]")];

  function show() {
    if (!button) return;
    const shown = boxes();
    for (const box of shown) box.checked = picked.has(box.value);
    for (const value of picked) if (!shown.some((box) => box.value === value)) picked.delete(value);
    button.textContent = `Acknowledge selected${picked.size ? ` (${picked.size})` : ""}`;
    button.disabled = !picked.size;
    all.hidden = !shown.length;
    all.checked = shown.length > 0 && picked.size === shown.length;
    all.indeterminate = picked.size > 0 && picked.size < shown.length;
  }

  function pick(value, wanted) {
    if (wanted) picked.add(value);
    else picked.delete(value);
  }

  root.addEventListener("change", ({ target }) => {
    if (target === all) for (const box of boxes()) pick(box.value, all.checked);
    else if (target.matches("#rows input[name=incident]")) pick(target.value, target.checked);
    else return;
    show();
  });

  // --- After something was done ------------------------------------------------------------------------------------

  document.addEventListener("htmx:afterRequest", ({ detail: { elt, requestConfig, successful, xhr } }) => {
    if (requestConfig.verb !== "post") return;
    if (!successful) {
      $("#said").textContent = xhr?.status ? `That could not be done (${xhr.status}). Load the page anew.` : "That could not be done: no connection.";
      return;
    }
    const menu = elt.closest("details.menu");
    if (menu) menu.open = false;
    if (elt.matches("form")) elt.reset();
    if (elt.id === "bulk") picked.clear();
    show();
    // Otherwise the WebSocket brings it.
    if (!$("#live-state").classList.contains("live")) location.reload();
  });

  document.addEventListener("click", ({ target }) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
  });

  // --- Keys --------------------------------------------------------------------------------------------------------

  function move(step) {
    const rows = [...list.children];
    const at = rows.indexOf(document.activeElement?.closest("#rows > *"));
    const row = rows[Math.min(Math.max(at < 0 ? 0 : at + step, 0), rows.length - 1)];
    $("a", row)?.focus();
    row?.scrollIntoView({ block: "nearest" });
  }

  const here = () => document.activeElement?.closest("#rows > *");
  const LIST = {
    "/": () => $("#find").select(),
    j: () => move(1),
    k: () => move(-1),
    x: () => $("input[name=incident]", here() ?? list)?.click(),
    a: () => (picked.size ? button : here() && $(".c-verb button", here()))?.click(),
  };
  const ONE = {
    a: () => $("#acknowledge")?.click(),
    c: () => $("#comment")?.focus(),
    r: () => {
      const menu = $("#resolution")?.closest("details");
      if (!menu || !menu.checkVisibility()) return;
      menu.open = true;
      $("#resolution").focus();
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      const menu = $("details.menu[open]");
      if (menu) {
        menu.open = false;
        $("summary", menu).focus();
      }
    }
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const act = (list ? LIST : ONE)[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  // --- The value of the rule ---------------------------------------------------------------------------------------

  let drawn = "";

  function options(data) {
    const style = getComputedStyle(root);
    const of = (name) => style.getPropertyValue(name).trim();
    const font = { color: of("--dim"), fontSize: 11, fontFamily: "Inter, sans-serif" };
    const label = { ...font, position: "insideStartTop" };
    const highest = Math.max(...data.limits.map(({ value }) => value));
    return {
      animation: false,
      grid: { left: 8, right: 16, top: 18, bottom: 2, containLabel: true },
      xAxis: {
        type: "time", min: data.points[0]?.[0], max: data.points.at(-1)?.[0],
        axisLine: { lineStyle: { color: of("--line") } }, axisTick: { show: false }, splitLine: { show: false },
        axisLabel: { ...font, hideOverlap: true },
      },
      yAxis: {
        type: "value", splitNumber: 4, splitLine: { lineStyle: { color: of("--line") } }, axisLabel: { ...font, formatter: short },
        // A limit that was never reached is seen, too.
        max: ({ max }) => (highest > max ? highest + (Math.ceil(highest / 10) || 1) : null),
      },
      tooltip: {
        trigger: "axis", confine: true, transitionDuration: 0, axisPointer: { lineStyle: { color: of("--mute") } },
        backgroundColor: of("--card"), borderColor: of("--line"), textStyle: { color: of("--text"), fontSize: 12 },
        formatter: ([point]) => `${new Date(point.value[0]).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" })}<br><b>${point.value[1] ?? "–"}</b> ${echarts.format.encodeHTML(data.unit)}`,
      },
      series: [{
        type: "line", showSymbol: false, color: of("--bad"), lineStyle: { width: 1.5 }, areaStyle: { opacity: 0.08 }, data: data.points,
        markLine: {
          symbol: "none", silent: true, animation: false,
          data: [
            ...data.limits.map(({ value, name }) => ({ yAxis: value, label: { ...label, formatter: name }, lineStyle: { color: of("--warn"), type: "dashed", width: 1.5 } })),
            ...data.marks.map(({ at, text }) => ({ xAxis: at, label: { ...font, position: "end", formatter: text }, lineStyle: { color: of("--info"), type: "dashed", width: 1.5 } })),
          ],
        },
      }],
    };
  }

  const short = (value) => (Math.abs(value) >= 1e6 ? `${value / 1e6}M` : Math.abs(value) >= 1e4 ? `${value / 1e3}k` : String(value));

  function draw(anyway) {
    const text = $("#series-json")?.textContent;
    if (!text || (text === drawn && anyway !== true)) return;
    drawn = text;
    const data = JSON.parse(text);
    $("#graph").hidden = !data;
    if (!data) return;
    $("#graph-title").textContent = data.title;
    $("#graph-limit").textContent = data.rule;
    const element = $("#graph-plot");
    element.setAttribute("aria-label", data.said);
    let chart = echarts.getInstanceByDom(element);
    if (!chart) {
      chart = echarts.init(element, null, { renderer: "canvas" });
      new ResizeObserver(() => chart.resize()).observe(element);
    }
    chart.setOption(options(data), { replaceMerge: ["series"] });
  }

  function placed() {
    show();
    draw();
    const open = $("#tally [data-open]");
    // Only where no filter hides some of them.
    if (open && !location.search) window.pharosOpenIncidents?.(Number(open.dataset.open));
  }

  root.addEventListener("live:placed", placed);
  new MutationObserver(() => draw(true)).observe(document.documentElement, { attributeFilter: ["class"] });
  show();
  draw();
})();
