/* The histogram of log lines by level, for the Logs page and the overview. */
(() => {
  "use strict";

  // Drawn from the bottom: what matters most is on top, where the eye looks for it.
  const ORDER = ["trace", "debug", "info", "warn", "error", "fatal"];

  /** The shell's colours, which differ between light and dark. */
  function colours(element) {
    const style = getComputedStyle(element);
    const of = (name) => style.getPropertyValue(name).trim();
    return {
      text: of("--dim"), line: of("--line"), card: of("--card"), strong: of("--text"),
      levels: ORDER.map((level) => of(`--${level}`)),
    };
  }

  function options(element, data) {
    const colour = colours(element);
    const font = { color: colour.text, fontSize: 11, fontFamily: "Pharos Charts, sans-serif" };
    return {
      animation: false,
      grid: { left: 8, right: 16, top: 10, bottom: 2, containLabel: true },
      xAxis: {
        type: "time", min: data.start, max: data.end,
        axisLine: { lineStyle: { color: colour.line } }, axisTick: { show: false }, splitLine: { show: false },
        axisLabel: { ...font, hideOverlap: true },
      },
      yAxis: {
        type: "value", minInterval: 1, splitNumber: 3,
        splitLine: { lineStyle: { color: colour.line } }, axisLabel: { ...font, formatter: short },
      },
      tooltip: {
        trigger: "axis", axisPointer: { type: "none" }, confine: true, transitionDuration: 0, formatter: tooltip(data),
        backgroundColor: colour.card, borderColor: colour.line, textStyle: { color: colour.strong, fontSize: 12 },
      },
      toolbox: { show: false }, // dragging is the only thing to do here
      brush: { xAxisIndex: 0, brushStyle: { color: "rgba(14,165,233,.15)", borderColor: "#0ea5e9" } },
      series: data.levels.map(([name, shown], level) => ({
        name, type: "bar", stack: "lines", color: colour.levels[level], barCategoryGap: "12%", barMaxWidth: 22,
        // A bar stands over the middle of its time.
        data: shown ? data.buckets.map((bucket) => [bucket[0] + data.step / 2, bucket[level + 1]]) : [],
      })),
    };
  }

  function short(count) {
    return count >= 1e6 ? `${count / 1e6}M` : count >= 1e4 ? `${count / 1e3}k` : String(count);
  }

  /** Names and numbers only, so there is nothing to escape. */
  function tooltip(data) {
    return (points) => {
      const start = new Date(points[0].value[0] - data.step / 2);
      const rows = points.filter((point) => point.value[1]).reverse()
        .map((point) => `${point.marker} ${point.seriesName} <b>${point.value[1].toLocaleString("en")}</b>`);
      return [start.toLocaleString([], { dateStyle: "medium", timeStyle: "medium" }), ...rows].join("<br>");
    };
  }

  /**
   * Draws into an element, and draws anew when called again, when the theme changes and when the room changes.
   * @param {HTMLElement} element
   * @param {object} data as logs/views.py's chart_data makes it
   * @param {(from: number, to: number) => void} [onZoom] called with milliseconds when a span was dragged over
   */
  window.pharosChart = function (element, data, onZoom) {
    let chart = echarts.getInstanceByDom(element);
    if (!chart) {
      chart = echarts.init(element, null, { renderer: "canvas" });
      new ResizeObserver(() => chart.resize()).observe(element);
      new MutationObserver(() => chart.setOption(options(element, chart.data)))
        .observe(document.documentElement, { attributeFilter: ["class"] });
      if (onZoom) enableZoom(chart, onZoom);
    }
    chart.data = data;
    if (!chart.dragging) chart.setOption(options(element, data));
    const total = data.buckets.reduce((sum, [, ...counts]) => sum + counts.reduce((a, b) => a + b, 0), 0);
    element.setAttribute("aria-label", `Log lines over time by level: ${total.toLocaleString("en")} lines in ` +
      `${data.buckets.length} bars of ${data.step / 1000} seconds. The numbers follow as a table.`);
    if (onZoom) takeBrush(chart);
  };

  function takeBrush(chart) {
    chart.dispatchAction({
      type: "takeGlobalCursor", key: "brush", brushOption: { brushType: "lineX", brushMode: "single" },
    });
  }

  function enableZoom(chart, onZoom) {
    // A refresh in the middle of a drag would take the span away from under the pointer.
    chart.getZr().on("mousedown", () => { chart.dragging = true; });
    chart.getZr().on("mouseup", () => { chart.dragging = false; });
    chart.on("brushEnd", (event) => {
      chart.dragging = false;
      const [from, to] = event.areas[0]?.coordRange ?? [];
      chart.dispatchAction({ type: "brush", areas: [] });
      if (to - from >= 1000) onZoom(from, to);
    });
  }
})();
