/* The overview draws its histogram whenever the figures come in anew. */
(() => {
  "use strict";
  const figures = document.getElementById("figures");

  function draw() {
    const data = document.getElementById("overview-chart-json");
    if (data) pharosChart(document.getElementById("overview-chart"), JSON.parse(data.textContent));
  }

  // A line that is about to be clicked must not give way to another.
  figures.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden || document.querySelector("#newest-errors:hover, #newest-errors:focus-within")) event.preventDefault();
  });
  document.addEventListener("htmx:afterSettle", (event) => { if (event.target === figures) draw(); });
  draw();
})();
