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

  // --- How long ago: two units, as services/durations.py says it -----------------------------------------------------

  const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

  function words(seconds) {
    const at = UNITS.findIndex(([, size], index) => seconds >= size || index === UNITS.length - 1);
    const [unit, size] = UNITS[at];
    const [smaller, small] = UNITS[at + 1] ?? ["", Infinity];
    const rest = Math.floor((seconds % size) / small);
    return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
  }

  /** The server writes since when; for how long that is, every page says anew each second. */
  window.pharosTimes = (within = document) => {
    for (const time of within.querySelectorAll("time[data-since]")) {
      const text = time.dataset.since + words(Math.max((Date.now() - Date.parse(time.dateTime)) / 1000, 0));
      if (time.textContent !== text) time.firstChild.data = text;
    }
  };
  setInterval(() => { if (!document.hidden) pharosTimes(); }, 1000);

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
