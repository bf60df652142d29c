/** Choosing from a list below a text field with the arrow keys: what all our combined fields share. */

/**
 * @param {HTMLInputElement} input
 * @param {HTMLElement} list holds the options, each with the role "option"
 * @param {(option: HTMLElement) => void} choose
 */
export function combine(input, list, choose) {
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  const options = () => /** @type {HTMLElement[]} */ ([...list.querySelectorAll('[role="option"]')]);
  const current = () => options().findIndex((option) => option.getAttribute("aria-selected") === "true");

  /** @param {number} index of the option to mark; -1 for none */
  function mark(index) {
    const all = options();
    all.forEach((option, at) => {
      option.id ||= `${list.id}-${at}`;
      option.setAttribute("aria-selected", String(at === index));
    });
    const marked = all[index];
    if (marked) {
      input.setAttribute("aria-activedescendant", marked.id);
      marked.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  function changed({ first = false } = {}) {
    const has = options().length > 0;
    list.hidden = !has;
    input.setAttribute("aria-expanded", String(has));
    mark(first && has ? 0 : -1);
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
  }

  input.addEventListener("keydown", (event) => {
    if (list.hidden || event.isComposing) return;
    const count = options().length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const at = current();
      const step = event.key === "ArrowDown" ? 1 : -1;
      mark(at < 0 && step < 0 ? count - 1 : (at + step + count) % count);
    } else if (event.key === "Enter" && current() >= 0) {
      event.preventDefault();
      choose(options()[current()]);
    }
  });
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const option = /** @type {Element} */ (event.target).closest?.('[role="option"]');
    if (option instanceof HTMLElement) {
      event.preventDefault();
      choose(option);
    }
  });
  close();
  return { changed, close };
}
