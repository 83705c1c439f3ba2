/* Rows of log lines, on the Logs page and on the page of a line: moving among them, opening one, copying from it. */
(() => {
  "use strict";

  const $ = (selector, root = document) => root.querySelector(selector);

  function open(row) {
    for (const other of document.querySelectorAll(".row.open")) close(other);
    const detail = document.createElement("div");
    detail.className = "detail";
    detail.textContent = "…";
    row.append(detail);
    row.classList.add("open");
    row.setAttribute("aria-expanded", "true");
    // With the present view, so that "+" and "−" in the details narrow it.
    const parameters = $("#log-view")?.dataset.parameters ?? "";
    htmx.ajax("GET", `${$("a.at", row).getAttribute("href")}?${parameters}`, { target: detail, swap: "innerHTML" });
  }

  function close(row) {
    $(":scope > .detail", row)?.remove();
    row.classList.remove("open");
    row.removeAttribute("aria-expanded");
  }

  function toggle(row) {
    if (row.classList.contains("open")) close(row);
    else open(row);
  }

  function failed(event) {
    const { target, xhr } = event.detail;
    if (target?.matches(".row > .detail")) target.textContent = `The line could not be loaded (${xhr?.status || "no connection"}).`;
  }
  document.addEventListener("htmx:responseError", failed);
  document.addEventListener("htmx:sendError", failed);

  document.addEventListener("click", (event) => {
    const { target } = event;
    if (target.closest("[data-copy], [data-copy-link]")) return;
    const row = target.closest(".rows .row");
    const link = target.closest("a");
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || (link && !link.matches(".at"));
    const selecting = !link && String(getSelection());
    if (!row || elsewhere || selecting || target.closest(".detail")) return;
    event.preventDefault();
    toggle(row);
  });

  function move(step) {
    const all = [...document.querySelectorAll(".rows > .row")];
    const at = all.indexOf(document.activeElement?.closest(".row"));
    const row = all[Math.min(Math.max(at < 0 ? 0 : at + step, 0), all.length - 1)];
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  }

  /** Closes one thing at a time, the topmost first. */
  function leave() {
    const menu = $("details.menu[open]");
    const help = $("[popover]:popover-open");
    const row = $(".row.open");
    if (help) help.hidePopover();
    else if (menu) menu.open = false;
    else if (row) close(row);
    else document.activeElement?.blur();
  }

  const KEYS = {
    j: () => move(1),
    k: () => move(-1),
    w: () => $(".rows")?.classList.toggle("wrapped"),
    Enter: () => toggle(document.activeElement),
    Escape: leave,
  };

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (!KEYS[key] || event.ctrlKey || event.metaKey || event.altKey || !$(".rows")) return;
    if (key !== "Escape" && target.closest("input, textarea, select")) return;
    if (key === "Enter" && !target.matches(".row")) return;
    event.preventDefault();
    KEYS[key]();
  });

  window.pharosRows = { close };
})();
