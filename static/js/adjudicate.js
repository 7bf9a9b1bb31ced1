// The adjudication page: keys that press the buttons on which they stand.
"use strict";

(() => {
  // A second press of the same key must not decide the comparison that has just appeared.
  const SETTLE = 350;
  let shown = performance.now();

  const card = () => document.getElementById("card");

  function openNote() {
    const box = document.getElementById("note-box");
    if (!box) return;
    box.open = true;
    box.querySelector("textarea").focus();
  }

  function press(key) {
    if (performance.now() - shown < SETTLE) return false;
    const button = [...card().querySelectorAll("[data-keys]")].find((each) => each.dataset.keys.split(" ").includes(key));
    if (!button || button.disabled) return false;
    button.click();
    if (button.hasAttribute("popovertarget")) document.querySelector("#bad input[type=radio]").focus();
    return true;
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (typing) {
      if (event.key === "Escape") typing.blur();
      return;
    }
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!card() || document.querySelector("dialog[open], :popover-open")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // A code block or a table that scrolls sideways keeps its arrows while it has the focus.
    if (key.startsWith("Arrow") && event.target.closest(".prompt, pre, .table-box, details.menu")) return;
    if (key === "n" ? openNote() !== false : press(key)) event.preventDefault();
  });

  function showVotes() {
    const votes = document.getElementById("votes");
    votes.scrollIntoView({ block: "nearest" });
    votes.querySelector("h2")?.focus({ preventScroll: true });
  }

  document.addEventListener("htmx:afterSettle", (event) => {
    // The votes alone leave the comparison where it is, and are brought into sight: seeing them is on record from now on.
    if (event.detail.target?.id === "votes" || event.target.id === "votes") return showVotes();
    shown = performance.now();
    window.scrollTo({ top: 0 });
  });

  // Back from another page: the browser shows the card as it was, and it may have been decided since.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
})();
