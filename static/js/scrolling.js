// Tables wider or longer than their box: reached by the keyboard and named for whoever cannot see them. Others are left alone.
"use strict";

(() => {
  // The heading that stands last before the box; what a table or a text holds is not of the page.
  function headingOf(box) {
    const before = [...document.querySelectorAll("main :is(h1, h2, h3, summary, figcaption)")].filter((heading) => (
      !heading.closest(".table-box, .text, .menu") && heading.compareDocumentPosition(box) & Node.DOCUMENT_POSITION_FOLLOWING
    ));
    return before.at(-1)?.textContent.trim() || document.title;
  }

  function look(box) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    if (scrolls === (box.getAttribute("role") === "region")) return;
    if (scrolls) {
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", headingOf(box));
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
    }
  }

  const sizes = new ResizeObserver((entries) => new Set(entries.map(({ target }) => target.closest(".table-box"))).forEach(look));

  // The table is watched beside its box: it grows by what comes into it. Watching twice is watching once.
  function watchAll() {
    for (const box of document.querySelectorAll(".table-box")) [box, ...box.children].forEach((part) => sizes.observe(part));
  }
  document.addEventListener("htmx:afterSettle", watchAll);
  watchAll();
})();
