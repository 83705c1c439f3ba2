/* On every page, the login page and the admin included. */
(() => {
  "use strict";

  // Times are rendered on the server, in the zone of whoever reads them. Only the browser knows which that is.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`pharos_tz=${zone}`)) {
    document.cookie = `pharos_tz=${zone}; path=/; max-age=31536000; samesite=lax`;
  }

  if (!window.htmx) return;
  // Log lines must not stay in the browser's local storage. Going back loads the page anew, from its address.
  htmx.config.historyCacheSize = 0;
  htmx.config.refreshOnHistoryMiss = true;
  // A refused search is a page with the reason beside the query box: it is shown like any other answer, and so is the
  // menu with the reason why a query can't be saved.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if ((xhr.status === 400 && ["log-view", "log-saved"].includes(target.id)) || xhr.status === 404) event.detail.shouldSwap = true;
  });
})();
