/* On every page, the login page and the admin included. */
(() => {
  "use strict";

  // Unfold hides a page until Alpine has read it: what is folded would be open, and the theme wrong. All of that is known
  // sooner, and so the page is there sooner: see .starting in pharos.css.
  function show({ classList }) {
    let theme = "auto";
    let bar = "1";
    try {
      theme = JSON.parse(localStorage.getItem("_x_adminTheme")) ?? theme;
      bar = localStorage.getItem("sidebarDesktopOpen") ?? bar;
    } catch { /* no place to remember it, or something else in it */ }
    const dark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    classList.add("starting");
    classList.toggle("without-bar", bar !== "1");
    if (dark) classList.add("dark");
    // Alpine sets it again, and takes away only what it has set.
    document.addEventListener("alpine:init", () => dark && classList.remove("dark"), { once: true });
    document.addEventListener("alpine:initialized", () => classList.remove("starting", "without-bar"), { once: true });
  }
  show(document.documentElement);
  document.documentElement.removeAttribute("x-cloak");

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

  // As in other products. Where there is no search, the browser's own.
  document.addEventListener("keydown", (event) => {
    const search = document.getElementById("nav-filter");
    if (event.key !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    if (!search?.checkVisibility()) return;
    event.preventDefault();
    search.focus();
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

  // --- A connection to the server, for pages that stay as things are -------------------------------------------------

  /**
   * Comes back by itself: a little later after each attempt, never late, and not in step with every other viewer.
   * @param {string} path
   * @param {{opened: () => void, message: (text: string) => void, state: (live: boolean, words: string) => void}} to
   */
  window.pharosSocket = (path, to) => {
    let socket, timer, attempt = 0, ended = false;

    function connect() {
      const url = new URL(path, location);
      url.protocol = location.protocol.replace("http", "ws");
      socket = new WebSocket(url);
      socket.onopen = () => { to.state(true, "live"); to.opened(); };
      // A server that is about to stop still opens, but says nothing: that is no success.
      socket.onmessage = ({ data }) => { attempt = 0; to.message(data); };
      socket.onclose = ({ code }) => {
        if (ended) return;
        if (code >= 4000) return to.state(false, "not live: log in again"); // trying again is no use
        const delay = Math.min(500 * 2 ** attempt++, 5000) * (0.75 + Math.random() / 2);
        to.state(false, `connection lost, trying again in ${Math.max(1, Math.round(delay / 1000))} s`);
        timer = setTimeout(connect, delay);
      };
    }

    connect();
    return {
      /** False: it is not open now; what was to be said is said with the next opening. */
      send: (said) => {
        const open = socket.readyState === WebSocket.OPEN;
        if (open) socket.send(JSON.stringify(said));
        return open;
      },
      end: () => { ended = true; clearTimeout(timer); socket.close(); },
    };
  };

  // --- How many incidents nobody has acknowledged: in the sidebar and on the tab ----------------------------------------

  window.pharosOpenIncidents = (count) => {
    const counter = document.getElementById("open-incidents");
    if (!counter) return;
    counter.textContent = count;
    counter.hidden = !count;
    document.title = (count ? `(${count}) ` : "") + document.title.replace(/^\(\d+\) /, "");
  };
  const opened = document.getElementById("open-incidents");
  if (opened) pharosOpenIncidents(Number(opened.textContent));
  // With the banner, every ten seconds: see monitor/overview.py.
  document.addEventListener("incidents-open", ({ detail }) => pharosOpenIncidents(detail.value));

  if (!window.htmx) return;
  // Unfold takes whatever rows htmx brings to a form of the admin for those of an inline, which have this.
  document.addEventListener("htmx:afterSwap", ({ target }) => {
    if (target.dataset && target.matches(".kind-fields")) target.dataset.inlineFormset = '{"options": {"prefix": ""}}';
  });
  // Nothing that a page says is run, and no sheet is written into it: the content policy would refuse both.
  htmx.config.allowEval = false;
  htmx.config.includeIndicatorStyles = false;
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
