/* Instead of the Chart.js that unfold loads on every page: our charts are ECharts. */
