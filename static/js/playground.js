// Ctrl+Enter sends what is being written; a sent message leaves the cursor where the next one is written.
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const field = event.target.closest("form textarea, form input, textarea[form]");
  if (!field?.form?.closest("#chat, #scores")) return;
  event.preventDefault();
  // The last message in other words has a button of its own. Clicked, because htmx goes by the button that was.
  const own = field.parentElement.querySelector(":scope > button[form]");
  (own || field.form.querySelector("button.btn-primary")).click();
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "chat") return;
  const text = document.querySelector("#talk [name=text]");
  text?.focus({ preventScroll: true });
  document.getElementById("last_turn")?.scrollIntoView({ block: "nearest" });
});
