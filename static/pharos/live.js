/* Keeps a page as things are: core/fragments.py sends what has changed, this file puts it in its place. */
(() => {
  "use strict";

  const root = document.querySelector("[data-live]");
  if (!root) return;
  const state = document.getElementById("live-state");
  const seen = JSON.parse(document.getElementById("live-versions").textContent);
  const held = new Map(); // what can't be placed now: id → a function that does it
  const items = new Map(); // items of lists that are not on the page yet
  let query = location.search.slice(1);
  let pressed = false;

  // --- The socket ------------------------------------------------------------------------------------------------

  /** Says what the page has and shows; what is another comes then, also after a cut. */
  function ask() {
    const there = Object.fromEntries(Object.entries(seen).filter(([id]) => document.getElementById(id)));
    return socket.send({ seen: there, query });
  }

  /** Only changes are written, for a screen reader reads each of them. */
  function say(live, text) {
    if (state.textContent !== text) state.textContent = text;
    state.className = `live-state ${live ? "live" : "cut"}`;
  }

  // --- Fragments -------------------------------------------------------------------------------------------------

  function place({ html, lists }) {
    const pointed = underPointer();
    const top = pointed?.getBoundingClientRect().top;
    for (const [id, [version, text]] of Object.entries(html)) {
      seen[id] = version;
      const element = document.getElementById(id);
      const fresh = read(text);
      if (!element) items.set(id, fresh);
      // An item keeps its place and its size; anything else could move what is about to be clicked.
      else later(id, element, () => replace(document.getElementById(id), fresh), element.parentElement.matches("[data-list]"));
    }
    for (const [id, keys] of Object.entries(lists)) {
      const list = document.getElementById(id);
      if (list) later(id, list, () => order(list, keys));
    }
    placed();
    // What has grown above must not push away what somebody points at.
    const still = pointed && document.getElementById(pointed.id);
    if (still) scrollBy(0, still.getBoundingClientRect().top - top);
  }

  function placed() {
    if (!held.size) items.clear();
    root.dispatchEvent(new CustomEvent("live:placed"));
  }

  function read(text) {
    const template = document.createElement("template");
    template.innerHTML = text;
    return template.content.firstElementChild;
  }

  function replace(element, fresh) {
    if (!element) return;
    for (const details of fresh.querySelectorAll("details[id]")) details.open = !!document.getElementById(details.id)?.open;
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    element.replaceWith(fresh);
    settle(fresh);
    if (focused) ((focused.id && document.getElementById(focused.id)) || fresh.querySelector("a[href]"))?.focus({ preventScroll: true });
  }

  function settle(fresh) {
    htmx.process(fresh);
    pharosTimes(fresh);
  }

  function order(list, keys) {
    const wanted = keys.map((key) => document.getElementById(key) ?? arrived(key)).filter(Boolean);
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    for (const child of [...list.children]) if (!wanted.includes(child)) child.remove();
    wanted.forEach((child, place) => {
      if (list.children[place] !== child) list.insertBefore(child, list.children[place] ?? null);
    });
    if (focused !== document.activeElement) focused?.focus({ preventScroll: true });
  }

  function arrived(key) {
    const fresh = items.get(key);
    if (fresh) settle(fresh);
    return fresh;
  }

  // --- Nothing moves under the cursor ------------------------------------------------------------------------------

  const hovers = matchMedia("(hover: hover)");
  let pointer = null;
  document.addEventListener("pointermove", ({ clientX, clientY }) => { pointer = [clientX, clientY]; }, { passive: true });

  function underPointer() {
    return pointer && hovers.matches ? document.elementFromPoint(...pointer)?.closest("[data-list] > [id], section[id]") : null;
  }

  function busy(element, isItem) {
    const selection = getSelection();
    const { activeElement } = document;
    // In a list the focus goes along with its item, and over to a new one. Not from somebody who writes.
    const follows = (isItem || element.matches("[data-list]")) && activeElement?.matches("a, button, [type=checkbox]");
    const focused = element.contains(activeElement) && !follows;
    return (isItem ? pressed : hovers.matches && element.matches(":hover")) || focused
      || (!selection.isCollapsed && selection.containsNode(element, true));
  }

  function later(id, element, act, isItem = false) {
    if (element.matches("[data-still]") || !busy(element, isItem)) {
      held.delete(id);
      act();
    } else {
      held.set(id, { act, isItem });
    }
  }

  function release() {
    for (const [id, { act, isItem }] of [...held]) {
      const element = document.getElementById(id);
      if (element && busy(element, isItem)) continue;
      held.delete(id);
      if (element) act();
    }
    placed();
  }
  for (const name of ["pointerout", "focusout", "selectionchange", "click"]) {
    document.addEventListener(name, () => { if (held.size) setTimeout(release); });
  }
  document.addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const name of ["pointerup", "pointercancel", "dragend"]) {
    document.addEventListener(name, () => { pressed = false; if (held.size) setTimeout(release); }, true);
  }

  // --- Filters and order -------------------------------------------------------------------------------------------

  function show(parameters) {
    for (const [name, value] of [...parameters]) if (!value) parameters.delete(name);
    query = parameters.toString();
    history.replaceState(history.state, "", location.pathname + (query && `?${query}`));
    if (!ask()) location.reload();
  }

  const form = root.querySelector("form[data-query]");
  let typing = 0;
  form?.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => show(new URLSearchParams(new FormData(form))), 150);
  });
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    show(new URLSearchParams(new FormData(form)));
  });
  root.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-query]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const parameters = new URL(link.href).searchParams;
    for (const field of form?.elements ?? []) if (field.name) field.value = parameters.get(field.name) ?? "";
    show(parameters);
  });

  pharosTimes();
  const socket = pharosSocket(root.dataset.live, { opened: ask, message: (text) => place(JSON.parse(text)), state: say });
})();
