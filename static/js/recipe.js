// Settings that count only with another choice (an adapter, a method) are hidden, and not sent, while it is not made;
// what an empty field stands for is shown in it.
"use strict";

(() => {
  const form = document.querySelector("form[data-recipes]");
  if (!form) return;
  // A field hides with its label and help; a part of the page (a fieldset) as a whole.
  const parts = [...form.querySelectorAll("[data-counts-if]")].map((element) => ({
    element,
    box: element.matches("fieldset") ? element : element.closest(".field"),
    wanted: Object.entries(JSON.parse(element.dataset.countsIf)),
  }));

  function chosen(name) {
    const field = form.elements.namedItem(name);
    if (!field) return "";
    return field.type === "checkbox" ? String(field.checked) : field.value;
  }

  // What an empty field stands for hangs on another choice: {its name: {choice: text}}.
  const customary = [...form.querySelectorAll("[data-customary]")].map((element) => ({
    element,
    texts: Object.entries(JSON.parse(element.dataset.customary)),
  }));

  function update() {
    for (const { element, texts } of customary) {
      for (const [name, byChoice] of texts) element.placeholder = byChoice[chosen(name)] ?? "";
    }
    for (const { element, box, wanted } of parts) {
      const counts = wanted.every(([name, values]) => {
        const value = chosen(name);
        return values === "any" ? value !== "" : values.includes(value);
      });
      box.hidden = !counts;
      element.disabled = !counts;
    }
  }

  // A field that the browser refuses may stand in a closed part of the page: it could not be shown.
  form.addEventListener(
    "invalid",
    (event) => {
      for (let box = event.target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    },
    true,
  );
  form.addEventListener("change", update);
  // Coming back to the page, the browser fills in what was chosen before.
  window.addEventListener("pageshow", update);
  form.classList.add("scripted");
  update();
})();
