/* The Logs page: live rows, older rows, the histogram. The server renders every row; this file only places them. */
(() => {
  "use strict";

  const LIVE_ROWS = 300; // kept at the live end
  const ROWS_MAX = 5000; // kept while somebody reads further down
  const CHART_EVERY = 5000;
  const RATE_SECONDS = 5;

  const $ = (selector, root = document) => root.querySelector(selector);
  const list = () => $("#log-rows");
  const rowsOf = (element) => element.querySelectorAll(":scope > .row");
  const number = (count) => count.toLocaleString("en");

  let shown = null; // the present #log-view
  let live = null; // what is known of it when it is live, else null

  /** A view that was swapped in begins anew. Its socket can be open before htmx says that it is there. */
  function look() {
    const view = $("#log-view");
    if (view === shown) return live;
    shown = view;
    live = view && "live" in view.dataset
      ? { commit: Number(view.dataset.commit), socket: null, connected: false, delay: 0, arrived: [], refused: false,
          paused: false, waiting: 0, wantsTop: true, unseen: 0, stale: false, moved: false, pointerRests: false, counts: [] }
      : null;
    state();
    return live;
  }
  htmx.onLoad(look);

  // --- The socket ------------------------------------------------------------------------------------------------

  // A little longer after each attempt, never long, and not in step with every other viewer of a restarted server.
  htmx.config.wsReconnectDelay = (attempt) => {
    const delay = Math.min(500 * 2 ** attempt, 5000) * (0.75 + Math.random() / 2);
    if (live) live.delay = delay;
    return delay;
  };

  document.addEventListener("htmx:wsOpen", (event) => {
    if (!look()) return;
    live.socket = event.detail.socketWrapper;
    live.connected = true;
    catchUp();
    state();
  });

  /** Asks for everything after the last commit this page has: no gap after a cut or a pause. */
  function catchUp() {
    live.socket.send(JSON.stringify({ since: live.commit }));
  }

  document.addEventListener("htmx:wsClose", (event) => {
    if (!look() || !shown.contains(event.target)) return;
    live.connected = false;
    const { code } = event.detail.event;
    if (code >= 4000) {
      live.refused = true; // the server says that trying again is no use
    } else if (![1006, 1011, 1012, 1013].includes(code)) {
      // The extension gives up when a server says good-bye in order, which is what one does that is restarted.
      const { socket } = live;
      live.delay = 1000;
      setTimeout(() => { if (live?.socket === socket) socket?.reconnect(); }, live.delay);
    }
    state();
  });

  document.addEventListener("htmx:wsBeforeMessage", (event) => {
    event.preventDefault(); // rows go to their places here, not on top whatever the reader does
    if (!look()) return;
    const template = document.createElement("template");
    template.innerHTML = event.detail.message;
    const frame = template.content.firstElementChild;
    if (frame?.id !== "log-rows") return;
    const skipped = Number(frame.dataset.skipped);
    const lines = frame.children.length + skipped;
    live.counts.push([Date.now(), lines]);
    if (live.paused) {
      live.waiting += lines; // not kept: the store has them, and `commit` stays where it was
      taken(live, frame.dataset.commit);
    } else {
      live.commit = Math.max(live.commit, Number(frame.dataset.commit));
      live.arrived.push([[...frame.children], skipped]);
      // Once for each picture on the screen, however many frames came: a page that is behind catches up by itself.
      if (live.arrived.length === 1) (document.hidden ? setTimeout : requestAnimationFrame)(() => place(live));
    }
    state();
  });

  /** Puts what arrived in its place; of more than the live end holds, the newest. */
  function place(view) {
    const frames = view.arrived.splice(0).reverse(); // newest first, as the rows in each of them
    if (view !== live) return;
    const fresh = frames.flatMap(([rows]) => rows);
    const surplus = fresh.splice(LIVE_ROWS);
    insert(fresh, frames.reduce((sum, [, skipped]) => sum + skipped, surplus.length));
    requestAnimationFrame(() => taken(view, view.commit)); // when it is on the screen
  }

  /** Tells the server that the page has kept up: it holds the next frame back until then. */
  function taken(view, commit) {
    view.socket?.send(JSON.stringify({ seen: Number(commit) }));
  }

  function pause() {
    live.paused = !live.paused;
    live.waiting = 0;
    const button = $("#log-pause");
    button.setAttribute("aria-pressed", live.paused);
    $("span", button).textContent = live.paused ? "Go on" : "Pause";
    if (!live.paused && live.connected) catchUp();
    state();
  }

  /** Says how things stand, at the foot. Only changes are written, for a screen reader reads each of them. */
  function state() {
    if (!live) return;
    let text = "connecting …";
    if (live.refused) text = "not live: log in again";
    else if (live.paused) text = `paused · ${number(live.waiting)} lines waiting`;
    else if (live.connected) text = "connected · live";
    else if (live.delay) text = `connection lost, trying again in ${Math.max(1, Math.round(live.delay / 1000))} s`;
    const element = $("#log-state");
    element.setAttribute("aria-live", live.paused ? "off" : "polite"); // a count that keeps rising is not for reading aloud
    if (element.textContent !== text) element.textContent = text;
    shown.classList.toggle("cut", !live.connected && live.delay > 0);
    shown.classList.toggle("paused", live.paused);
  }

  setInterval(() => {
    if (!look()) return;
    const since = Date.now() - RATE_SECONDS * 1000;
    live.counts = live.counts.filter(([time]) => time > since);
    const rate = live.counts.reduce((sum, [, lines]) => sum + lines, 0) / RATE_SECONDS;
    $("#log-rate").textContent = live.connected ? ` · ${rate >= 10 ? number(Math.round(rate)) : rate.toFixed(1)}/s` : "";
  }, 1000);

  // --- New rows --------------------------------------------------------------------------------------------------

  /** Following moves what is on screen, so it is for a reader who is at the top and touches nothing there. */
  function following() {
    const rows = list();
    const over = rows.parentElement.matches(":hover") && !live.pointerRests && matchMedia("(hover: hover)").matches;
    return live.wantsTop && !over && !$(".row.open, .row:focus, .row:focus-within", rows);
  }

  /** Rows newest first, each to its place: some lines come late, and after a reconnect some come twice. */
  function insert(fresh, skipped) {
    const rows = list();
    const follow = following();
    if (!follow && rows.childElementCount > ROWS_MAX) {
      live.stale = true;
      return grew(fresh.length);
    }
    $(":scope > .empty", rows)?.remove();
    const end = $("#log-older", rows);
    const mark = follow ? null : firstInSight(rows);
    const top = mark?.offsetTop;
    let place = nextRow(rows.firstElementChild);
    let added = 0;
    for (const row of fresh) {
      if (document.getElementById(row.id)) continue;
      while (place && isNewer(place.id, row.id)) place = nextRow(place.nextElementSibling);
      if (!place && end && !end.hidden) break; // older than all rows here: scrolling will bring it
      rows.insertBefore(row, place ?? end);
      added += 1;
    }
    if (skipped) rows.insertBefore(gap(skipped), place ?? end);
    if (follow) {
      trim(rows);
      if (live.scrolled) rows.scrollTop = 0; // asking each time would have the browser lay out everything at once
      live.scrolled = false;
      return;
    }
    const grown = mark ? mark.offsetTop - top : 0;
    if (grown) {
      live.moved = true; // by us: the scroll event that follows says nothing about the reader
      rows.scrollTop += grown;
    }
    grew(added);
  }

  function nextRow(element) {
    while (element && !element.matches(".row")) element = element.nextElementSibling;
    return element;
  }

  /** Ids are r-<time>-<sequence>, and the numbers are too large for a double. */
  function isNewer(id, other) {
    const [, time, sequence] = id.split("-");
    const [, otherTime, otherSequence] = other.split("-");
    return (compare(time, otherTime) || compare(sequence, otherSequence)) > 0;
  }

  function compare(a, b) {
    return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
  }

  function firstInSight(rows) {
    const box = rows.getBoundingClientRect();
    return document.elementFromPoint(box.left + 8, box.top + 2)?.closest("#log-rows > *") ?? $(".row.open", rows);
  }

  function gap(lines) {
    const element = document.createElement("p");
    element.className = "gap";
    element.setAttribute("role", "listitem");
    element.textContent = `skipped ${number(lines)} lines that came faster than a page can show; a search finds them`;
    return element;
  }

  function trim(rows) {
    const surplus = [...rowsOf(rows)].slice(LIVE_ROWS);
    if (!surplus.length) return;
    // Separators below the last row that stays go with the rest.
    for (const element of [...rows.querySelectorAll(":scope > .gap")]) {
      if (surplus[0].compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING) element.remove();
    }
    for (const row of surplus) row.remove();
    $(":scope > .end", rows)?.remove();
    const end = $("#log-older", rows);
    if (end) end.hidden = false; // there is something older now
  }

  function grew(lines) {
    live.unseen += lines;
    const button = $("#log-new");
    button.hidden = !live.unseen;
    button.textContent = `${number(live.unseen)} new line${live.unseen === 1 ? "" : "s"} ↑`;
  }

  /** To the newest line, to follow from there. */
  function toTop() {
    if (live.stale) return visit(location.href);
    const rows = list();
    live.wantsTop = live.pointerRests = true;
    grew(-live.unseen);
    for (const row of rows.querySelectorAll(".row.open")) pharosRows.close(row);
    if (rows.contains(document.activeElement)) document.activeElement.blur();
    trim(rows);
    rows.scrollTop = 0;
  }

  document.addEventListener("scroll", (event) => {
    if (!live || event.target !== list()) return;
    if (live.moved) {
      live.moved = false;
      return;
    }
    live.scrolled = event.target.scrollTop > 0;
    live.wantsTop = event.target.scrollTop < 4;
    if (live.wantsTop && !live.stale) grew(-live.unseen);
  }, true);

  document.addEventListener("pointermove", (event) => {
    if (live && Math.abs(event.movementX) + Math.abs(event.movementY) > 2) live.pointerRests = false;
  });

  // Who only rested the pointer on the list goes on following when it leaves.
  document.addEventListener("pointerout", () => setTimeout(() => {
    if (live?.unseen && following()) toTop();
  }));

  // --- Older rows, the histogram, other views --------------------------------------------------------------------

  document.addEventListener("htmx:configRequest", (event) => {
    const { elt, parameters } = event.detail;
    if (elt.id === "log-older") {
      // The last row may be another than when the link was made.
      const all = rowsOf(list());
      const last = all[all.length - 1];
      const url = new URL(event.detail.path, location);
      if (last && isNewer(last.id, `r-${url.searchParams.get("after")}`)) url.searchParams.set("after", last.id.slice(2));
      url.searchParams.set("shown", all.length);
      event.detail.path = url.pathname + url.search;
    } else if (elt.matches("form")) {
      for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
    }
  });

  /** Opens another view in place. A link made for it inherits all that the links of the page have. */
  function visit(url) {
    const link = document.createElement("a");
    link.href = url;
    link.hidden = true;
    $("#log-view .bar").append(link);
    htmx.process(link);
    link.click();
  }

  function zoom(from, to) {
    const url = new URL(location);
    url.searchParams.set("from", new Date(from).toISOString());
    url.searchParams.set("to", new Date(to).toISOString());
    url.searchParams.delete("after");
    visit(url.pathname + url.search);
  }

  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "log-chart-data") return;
    pharosChart($("#log-chart"), JSON.parse($("#log-chart-json").textContent), zoom);
  });

  setInterval(() => {
    if (live?.connected && !live.paused && !document.hidden) htmx.trigger("#log-chart-data", "refresh");
  }, CHART_EVERY);

  // --- Controls --------------------------------------------------------------------------------------------------

  document.addEventListener("click", ({ target }) => {
    if (target.closest("#log-pause")) pause();
    if (target.closest("#log-new")) toTop();
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
  });

  document.addEventListener("input", ({ target }) => {
    if (!target.matches(".choices .filter")) return;
    for (const label of target.closest(".choices").querySelectorAll("label")) {
      label.hidden = !label.textContent.toLowerCase().includes(target.value.toLowerCase());
    }
  });

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, textarea, select")) return;
    if (key === "/") $("#log-query").select();
    else if (key === "?") $("#log-help").togglePopover();
    else if (key === " " && live && !target.closest("button, a, summary, [popover]")) pause();
    else return;
    event.preventDefault();
  });
})();
