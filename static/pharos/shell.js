/* On every page, the login page and the admin included. */
(() => {
  "use strict";

  // Times are rendered on the server, in the zone of whoever reads them. Only the browser knows which that is.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`pharos_tz=${zone}`)) {
    document.cookie = `pharos_tz=${zone}; path=/; max-age=31536000; samesite=lax`;
  }

  /** The clipboard's API exists in secure contexts only, and many run Pharos on plain http in their own network. */
  async function copy(button) {
    const text = button.dataset.copyLink
      ? new URL(button.dataset.copyLink, location).href
      : (button.closest(".detail") ?? document).querySelector(button.dataset.copy).textContent;
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
    } else {
      const area = document.body.appendChild(document.createElement("textarea"));
      area.value = text;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1200);
  }

  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-copy], [data-copy-link]");
    if (button) copy(button);
  });

  if (!window.htmx) return;
  // Unfold takes whatever rows htmx brings to a form of the admin for those of an inline, which have this.
  document.addEventListener("htmx:afterSwap", ({ target }) => {
    if (target.dataset && target.matches(".kind-fields")) target.dataset.inlineFormset = '{"options": {"prefix": ""}}';
  });
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
