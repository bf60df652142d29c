/** Ctrl K: a dialog that leads to anything by a few letters of its name. */
import { combine } from "./combobox.js";

const PAUSE = 100;

export function installPalette() {
  const box = /** @type {HTMLDialogElement | null} */ (document.getElementById("palette"));
  const input = box?.querySelector("input");
  const list = document.getElementById("palette-hits");
  if (!box || !input || !list) return;
  const address = /** @type {HTMLFormElement} */ (input.form).action;
  const combobox = combine(input, list, (option) => location.assign(/** @type {HTMLAnchorElement} */ (option).href));
  let timer = 0;
  let asked = 0;

  async function ask() {
    const number = ++asked;
    const query = new URLSearchParams({ q: input.value.trim() });
    const response = await fetch(`${address}?${query}`, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!response?.ok || response.redirected || number !== asked) return;
    list.innerHTML = await response.text();
    for (const link of list.querySelectorAll("a")) {
      link.setAttribute("role", "option");
      link.tabIndex = -1;
    }
    combobox.changed({ first: true });
  }

  function open() {
    if (document.querySelector("dialog[open]")) return;
    box.showModal();
    input.select();
    void ask();
  }

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      open();
    }
  });
  document.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const opener = target.closest?.("[data-palette]");
    if (opener && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      open();
    }
    if (target === box) box.close();
  });
  // The browser's first Escape would only empty the field.
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    box.close();
  });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(ask, PAUSE);
  });
}
