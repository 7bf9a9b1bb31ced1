// The judging page: keys, one answer at a time, the time it took, and the guideline in its drawer.
"use strict";

(() => {
  const { outbox } = window.plumbline;
  // A second press of the same key must not answer the card that has just appeared.
  const SETTLE = 350;
  const clock = { shown: 0, hiddenSince: 0, hidden: 0 };

  const card = () => document.getElementById("card");
  const form = () => document.getElementById("answer");

  function restart() {
    clock.shown = performance.now();
    clock.hidden = 0;
    clock.hiddenSince = document.hidden ? clock.shown : 0;
    const current = card()?.dataset.assignment;
    // This card has been answered and the answer is still on its way.
    if (current && outbox.has(current)) lock(true);
  }

  // Seconds that the card was in sight; a tab in the background does not count.
  function seconds() {
    const now = performance.now();
    const away = clock.hidden + (clock.hiddenSince ? now - clock.hiddenSince : 0);
    return Math.max(0, Math.round((now - clock.shown - away) / 100) / 10);
  }

  document.addEventListener("visibilitychange", () => {
    const now = performance.now();
    if (document.hidden) {
      clock.hiddenSince = now;
    } else if (clock.hiddenSince) {
      clock.hidden += now - clock.hiddenSince;
      clock.hiddenSince = 0;
    }
  });

  function lock(locked) {
    card()?.setAttribute("aria-busy", String(locked));
    for (const button of card()?.querySelectorAll(".verdict button, .judge-bar form button") || []) button.disabled = locked;
  }

  function replaceCard(html) {
    // htmx gives the new buttons their behaviour; the answer itself goes through the outbox.
    window.htmx.swap("#card", html, { swapStyle: "outerHTML" });
  }

  async function answer(side) {
    const fields = form();
    if (!fields || card().getAttribute("aria-busy") === "true" || performance.now() - clock.shown < SETTLE) return;
    const data = new FormData(fields);
    lock(true);
    // A side may come with its degree: "left-3".
    card().querySelector(`.response[data-side="${side.split("-")[0]}"]`)?.classList.add("chosen");
    await outbox.put({
      url: fields.getAttribute("action"), side, seconds: seconds(),
      assignment: data.get("assignment"), client_key: data.get("client_key"), note: data.get("note") || "",
    });
  }

  document.addEventListener("outbox:stored", (event) => {
    // An answer of an earlier card must not push away the one that is being read.
    const { answer: stored, html } = event.detail;
    const current = card()?.dataset.assignment;
    if (!current || String(stored.assignment) === current) replaceCard(html);
  });

  document.addEventListener("outbox:discarded", () => location.reload());

  // Nobody looks: a comparison must not be leased to a tab in the background.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.closest("[data-live]")) event.preventDefault();
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    if (!document.getElementById("card")) return;
    if (event.target.id === "guideline-text") return;
    // The page has looked again by itself, and there is still nothing to judge.
    if (event.detail.requestConfig?.elt?.matches("[data-live]") && card().dataset.kind === "done") return;
    restart();
    window.scrollTo({ top: 0 });
  });

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "answer") return;
    event.preventDefault();
    if (event.submitter?.value) answer(event.submitter.value);
  });

  async function openGuideline() {
    const dialog = document.getElementById("guideline");
    const text = document.getElementById("guideline-text");
    if (dialog.open) return dialog.close();
    dialog.showModal();
    // Fetched at each opening: the text may have been published a minute ago.
    await window.htmx.ajax("GET", text.dataset.url, { target: "#guideline-text", swap: "innerHTML" });
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-guideline]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openGuideline();
  });

  function openNote() {
    const box = document.getElementById("note-box");
    if (!box) return;
    box.open = true;
    box.querySelector("textarea").focus();
  }

  function openSkip() {
    const sheet = document.getElementById("skip");
    if (!sheet || card().getAttribute("aria-busy") === "true") return;
    sheet.showPopover();
    sheet.querySelector("input[type=radio]").focus();
  }

  function press(key) {
    card()?.querySelector(`[data-key="${key}"]`)?.click();
  }

  // ↓ scrolls a page that is longer than the window: a tie by accident would be worse than a key less.
  const fits = () => document.documentElement.scrollHeight <= window.innerHeight + 2;

  // Where the card asks for degrees, every answer has a digit of its own, in the order of the row.
  const graded = () => [...(form()?.querySelectorAll("[data-answer]") || [])];

  // An arrow names a side and no degree, so it answers nothing there: it walks along the row, from the tie in the middle.
  function walk(row, step) {
    const from = row.includes(document.activeElement) ? row.indexOf(document.activeElement) : (row.length - 1) / 2;
    row[Math.min(Math.max(from + step, 0), row.length - 1)].focus();
  }

  function answerGraded(key) {
    const row = graded();
    const button = row.find((each) => each.dataset.answer === key);
    if (button) answer(button.value);
    else if (row.length && key === "ArrowLeft") walk(row, -1);
    else if (row.length && key === "ArrowRight") walk(row, 1);
    else return false;
    return true;
  }

  const keys = {
    1: () => answer("left"), ArrowLeft: () => answer("left"),
    2: () => answer("right"), ArrowRight: () => answer("right"),
    0: () => answer("tie"), t: () => answer("tie"), ArrowDown: () => (fits() ? answer("tie") : false),
    s: openSkip, n: openNote,
    u: () => press("u"), g: openGuideline, "?": () => press("?"),
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (typing) {
      if (event.key === "Escape") typing.blur();
      return;
    }
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const isOpen = document.querySelector("dialog[open], :popover-open");
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (isOpen && !(key === "g" && isOpen.id === "guideline")) return;
    // A code block or a table that scrolls sideways keeps its arrows while it has the focus.
    if (key.startsWith("Arrow") && event.target.closest(".prompt, pre, details.menu")) return;
    if (answerGraded(key)) return event.preventDefault();
    const action = keys[key];
    if (action && action() !== false) event.preventDefault();
  });

  // Back from another page: the browser shows the card as it was, and it may have been answered since.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  restart();
  outbox.show();
  outbox.sendAll();
})();
