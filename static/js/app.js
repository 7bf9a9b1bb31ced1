// Every page: the theme before the first paint, menus that close, messages, and what to do when a request fails.
"use strict";

(() => {
  const root = document.documentElement;
  const THEMES = ["", "light", "dark"];

  function stored() {
    try {
      return localStorage.getItem("plumbline.theme") || "";
    } catch {
      return ""; // Storage may be forbidden; the system's theme is then followed.
    }
  }

  function apply(theme) {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
  }

  apply(stored());
  // What only a script can do is hidden until there is one.
  root.classList.add("scripted");

  function label(button) {
    const current = stored();
    button.querySelector("[data-theme-name]").textContent = button.dataset[current || "system"];
  }

  function nextTheme(button) {
    const theme = THEMES[(THEMES.indexOf(stored()) + 1) % THEMES.length];
    try {
      localStorage.setItem("plumbline.theme", theme);
    } catch {
      // Nothing to remember it with: it holds for this page.
    }
    apply(theme);
    label(button);
    // Charts redraw themselves in the colours of the new theme.
    document.dispatchEvent(new CustomEvent("themechange"));
  }

  // Shows text, or a fragment that the server has escaped already, in the corner of the page.
  function toast(content, kind = "bad") {
    const box = document.getElementById("toasts");
    if (!box) return;
    const notice = document.createElement("div");
    notice.className = `notice ${kind}`;
    notice.setAttribute("role", kind === "bad" ? "alert" : "status");
    const body = document.createElement("div");
    if (typeof content === "string") body.textContent = content;
    else body.append(content);
    const close = document.createElement("button");
    close.type = "button";
    close.className = "btn btn-quiet btn-small";
    close.textContent = "×";
    close.setAttribute("aria-label", box.dataset.close);
    close.addEventListener("click", () => notice.remove());
    notice.append(body, close);
    box.replaceChildren(notice);
    if (kind !== "bad") setTimeout(() => notice.remove(), 6000);
  }

  // The message in an answer of ours; null for a page that is not ours.
  function problemIn(html) {
    const found = new DOMParser().parseFromString(html, "text/html").querySelector("[data-problem]");
    return found ? document.importNode(found, true) : null;
  }

  function toLogin() {
    const box = document.getElementById("toasts");
    const here = location.pathname + location.search;
    location.assign(`${box.dataset.login}?next=${encodeURIComponent(here)}`);
  }

  // Moments are written by the server's clock, and here by the reader's own: as much of each as there was. UTC is in the title.
  function readByOwnClock() {
    const two = (number) => String(number).padStart(2, "0");
    for (const time of document.querySelectorAll("main time[datetime]")) {
      const at = new Date(time.dateTime);
      const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
      const told = `${day} ${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":")}`.slice(0, time.textContent.length);
      if (time.textContent !== told) time.textContent = told;
    }
  }

  window.plumbline = { toast, problemIn };

  document.addEventListener("htmx:afterSettle", readByOwnClock);
  document.addEventListener("DOMContentLoaded", () => {
    readByOwnClock();
    // A long form that comes back leads to its first mistake.
    document.querySelector("main form [aria-invalid='true']")?.focus();
    const button = document.getElementById("theme");
    if (button) {
      button.hidden = false;
      label(button);
      button.addEventListener("click", () => nextTheme(button));
    }
    const language = document.getElementById("language");
    if (language) language.addEventListener("change", () => language.form.requestSubmit());
  });

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    const opener = event.target.closest("[data-opens]");
    if (opener) {
      const dialog = document.getElementById(opener.dataset.opens);
      if (dialog) {
        event.preventDefault();
        dialog.showModal();
      }
    }
    const closer = event.target.closest("[data-closes]");
    if (closer) closer.closest("dialog").close();
    // A click beside a dialog closes it: its own box is then the target.
    if (event.target instanceof HTMLDialogElement) event.target.close();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      // What had the focus is hidden with the menu; whoever goes by the keyboard goes on from its button.
      if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
      menu.open = false;
    }
  });

  // A form that must not be sent twice, or only after a question. A server that is busy answers late, and whoever
  // presses again waits for that, too; after PATIENCE the first is taken for lost. What starts something has a token
  // besides, by which the server knows it again.
  const PATIENCE = 30000;
  const sent = new Map();
  document.addEventListener("submit", (event) => {
    const form = event.target, before = sent.get(form);
    if (before?.button === event.submitter && performance.now() - before?.at < PATIENCE) return event.preventDefault();
    const question = event.submitter?.dataset.confirm || form.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
    // Scripts that send it themselves, and stay on the page, have said so by then.
    setTimeout(() => {
      if (event.defaultPrevented || form.method !== "post") return;
      sent.set(form, { button: event.submitter, at: performance.now() });
    });
  });
  window.addEventListener("pageshow", () => sent.clear());

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    const box = document.getElementById("toasts");
    // The session has ended: the redirect was followed to the sign-in page.
    if (new URL(xhr.responseURL || location.href).pathname === box.dataset.login) {
      event.detail.shouldSwap = false;
      toLogin();
    }
  });

  document.addEventListener("htmx:responseError", (event) => {
    const box = document.getElementById("toasts");
    toast(problemIn(event.detail.xhr.responseText) || box.dataset.failed);
  });

  document.addEventListener("htmx:sendError", () => {
    toast(document.getElementById("toasts").dataset.offline);
  });
})();
