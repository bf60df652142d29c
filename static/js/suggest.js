/** The search field of the list: how the query may go on, as one writes it. */
import { combine } from "./combobox.js";

const PAUSE = 120;

/** @param {HTMLElement} box */
function install(box) {
  const input = box.querySelector("input");
  const list = box.querySelector('[role="listbox"]');
  if (!(input instanceof HTMLInputElement) || !(list instanceof HTMLElement)) return;
  const combobox = combine(input, list, choose);
  let timer = 0;
  let asked = 0;

  /** @param {HTMLElement} option */
  function choose(option) {
    const { text = "", start = "0", end = "0" } = option.dataset;
    const after = text.endsWith(":") || text.endsWith(".") ? "" : " ";
    input.setRangeText(text + after, Number(start), Number(end), "end");
    combobox.close();
    // The list below follows what is in the field, however it came there.
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async function ask() {
    const number = ++asked;
    const at = input.selectionStart ?? input.value.length;
    const query = new URLSearchParams({ q: input.value, at: String(at) });
    const response = await fetch(`${box.dataset.combobox}?${query}`).catch(() => null);
    if (!response?.ok || response.redirected || number !== asked) return;
    const { items } = await response.json();
    if (document.activeElement !== input) return;
    list.replaceChildren(...items.map(asOption));
    combobox.changed();
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(ask, PAUSE);
  });
  input.addEventListener("focus", () => void ask());
  input.addEventListener("blur", combobox.close);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || list.hidden) return;
    // The first Escape closes the suggestions, the next one empties the field.
    event.preventDefault();
    asked += 1;
    combobox.close();
  });
  input.form?.addEventListener("submit", combobox.close);
}

/** @param {{text: string, help: string, start: number, end: number}} item */
function asOption(item) {
  const option = document.createElement("div");
  option.className = "option";
  option.setAttribute("role", "option");
  Object.assign(option.dataset, { text: item.text, start: item.start, end: item.end });
  const code = document.createElement("code");
  code.textContent = item.text;
  const help = document.createElement("span");
  help.textContent = item.help;
  option.append(code, help);
  return option;
}

export function installSuggestions() {
  for (const box of document.querySelectorAll("[data-combobox]")) install(/** @type {HTMLElement} */ (box));
}
