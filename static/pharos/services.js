/* The pages of services: what the server renders is put in its place as it changes. */
(() => {
  "use strict";

  const $ = (selector, root = document) => root.querySelector(selector);
  const soon = (work) => (document.hidden ? setTimeout : requestAnimationFrame)(work);

  // --- The list ------------------------------------------------------------------------------------------------------

  let grid = null; // the present list
  let socket = null;
  let misplaced = new Set(); // cards that move when the pointer leaves: nothing slips away under it

  const cards = () => [...grid.querySelectorAll(":scope > .watched")];
  const more = () => $(":scope > .more", grid);

  /** A view that was swapped in begins anew. */
  function look() {
    const found = $("#services");
    if (found === grid) return;
    socket?.end();
    grid = found;
    socket = null;
    misplaced = new Set();
    if (!grid) return;
    grid.addEventListener("pointerleave", tidy);
    socket = pharosSocket(grid.dataset.socket, { opened: say, message: take, state });
  }

  function state(live, text) {
    const element = $("#services-state");
    const dot = Object.assign(document.createElement("i"), { className: `dot ${live ? "green" : "yellow"}` });
    if (element && element.textContent.trim() !== text) element.replaceChildren(dot, ` ${text}`);
    grid?.classList.toggle("cut", !live);
  }

  /** What this page shows, so that it is told what is another by now. */
  function say() {
    const all = cards();
    const shown = Object.fromEntries(all.map((card) => [card.id.slice(4), card.dataset.digest]));
    socket?.send({ shown, until: more() && all.length ? all[all.length - 1].dataset.key : null });
  }

  function take(message) {
    const frame = JSON.parse(message);
    const there = grid;
    soon(() => {
      if (there !== grid) return;
      for (const [, html] of frame.cards ?? []) put(html);
      for (const id of frame.gone ?? []) document.getElementById(`svc-${id}`)?.remove();
      for (const [id, text] of Object.entries(frame.took ?? {})) {
        const element = $(`#svc-${id} > .took`);
        if (element && element.textContent !== text) element.textContent = text;
      }
      for (const [colour, count] of Object.entries(frame.counts ?? {})) {
        const element = $(`#count-${colour}`);
        if (element) element.textContent = count;
      }
      if (!grid.matches(":hover")) tidy();
      grid.parentElement.classList.toggle("none", !$(":scope > .watched", grid));
    });
  }

  function put(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const card = template.content.firstElementChild;
    const old = document.getElementById(card.id);
    if (old) {
      const focused = old.contains(document.activeElement);
      old.replaceWith(card);
      if (focused) $("a", card).focus({ preventScroll: true });
    } else {
      grid.insertBefore(card, more());
    }
    if (old && old.dataset.status === card.dataset.status) return; // its place is the same
    misplaced.add(card.id);
  }

  /** Problems first, then by name. Only what changed is moved. */
  function tidy() {
    if (!misplaced.size) return;
    const staying = cards().filter((card) => !misplaced.has(card.id));
    const moving = [...misplaced].map((id) => document.getElementById(id)).filter(Boolean);
    misplaced = new Set();
    for (const card of moving) {
      const at = position(staying, card.dataset.key);
      const before = staying[at] ?? more();
      if (card.nextElementSibling !== before) grid.insertBefore(card, before);
      staying.splice(at, 0, card);
    }
  }

  function position(sorted, key) {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle].dataset.key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // --- Controls ------------------------------------------------------------------------------------------------------

  if (window.htmx) {
    htmx.onLoad(look);
    document.addEventListener("htmx:afterSettle", () => {
      if (!grid) return;
      say(); // more cards than before
      const text = $("#services-text"); // kept over a swap, so that typing goes on
      if (text !== document.activeElement) text.value = new URLSearchParams(location.search).get("q") ?? "";
    });
    document.addEventListener("htmx:configRequest", ({ detail }) => {
      const { elt, parameters } = detail;
      if (elt.id !== "services-form") return;
      for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
    });
  }

  document.addEventListener("click", ({ target }) => {
    const closing = target.closest("[data-close]");
    if (closing) $(closing.dataset.close).replaceChildren();
  });

  function move(step) {
    const all = cards();
    const at = all.indexOf(document.activeElement?.closest(".watched"));
    const card = all[Math.min(Math.max(at < 0 ? 0 : at + step, 0), all.length - 1)];
    if (card) $("a", card).focus();
    card?.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (!grid || event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "Escape" && target.id === "services-text") return target.blur();
    if (target.closest("input, textarea, select")) return;
    if (key === "/") $("#services-text").select();
    else if (key === "j") move(1);
    else if (key === "k") move(-1);
    else return;
    event.preventDefault();
  });
})();
