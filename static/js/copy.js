/** Copy buttons: `data-copy` holds the text, or the id of the element that holds it after "#". */
import { announce } from "./toasts.js";

/** @param {HTMLElement} button */
function textOf(button) {
  const value = button.dataset.copy ?? "";
  return button.dataset.copyFrom
    ? (document.getElementById(button.dataset.copyFrom)?.textContent ?? "")
    : value;
}

export function installCopyButtons() {
  document.addEventListener("click", async (event) => {
    const button = /** @type {Element} */ (event.target).closest?.("[data-copy],[data-copy-from]");
    if (!(button instanceof HTMLElement)) return;
    try {
      await navigator.clipboard.writeText(textOf(button));
    } catch {
      announce("Copying is not allowed here; select the text instead.");
      return;
    }
    button.dataset.copied = "";
    announce("Copied.");
    setTimeout(() => delete button.dataset.copied, 1500);
  });
}
