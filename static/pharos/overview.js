/* The start page draws its histogram whenever the figures come in anew; static/pharos/live.js brings them. */
(() => {
  "use strict";

  let drawn = "";

  function draw() {
    const data = document.getElementById("overview-chart-json")?.textContent;
    if (!data || data === drawn) return;
    drawn = data;
    pharosChart(document.getElementById("overview-chart"), JSON.parse(data));
  }

  document.querySelector("[data-live]").addEventListener("live:placed", draw);
  draw();
})();
