/* The page Connect: puts the reader's key into the instructions, and a button to copy each of them. */
(() => {
  "use strict";

  function useKey(key) {
    for (const place of document.querySelectorAll(".steps .key")) place.textContent = key || "KEY";
  }

  document.addEventListener("input", ({ target }) => {
    if (target.id === "connect-own-key") useKey(target.value.trim());
  });

  document.addEventListener("htmx:afterSettle", () => {
    const made = document.querySelector("#connect-key[data-key]");
    if (made) useKey(made.dataset.key);
  });

  for (const [number, text] of document.querySelectorAll(".steps pre").entries()) {
    text.id = `connect-text-${number}`;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn copy";
    button.dataset.copy = `#${text.id}`;
    button.textContent = "Copy";
    const frame = document.createElement("div");
    frame.className = "code";
    text.before(frame);
    frame.append(text, button);
  }
})();
