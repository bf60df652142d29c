/** Ticked rows of a list and the bar that acts on them. Survives live updates of the rows. */

const ROW = "input[data-pick]";

/** @param {HTMLElement} form */
function update(form) {
  const boxes = [...form.querySelectorAll(ROW)];
  const picked = boxes.filter((box) => box.checked);
  for (const box of boxes) box.closest("tr")?.toggleAttribute("data-picked", box.checked);
  const all = form.querySelector("[data-pick-all]");
  if (all) {
    all.checked = boxes.length > 0 && picked.length === boxes.length;
    all.indeterminate = picked.length > 0 && picked.length < boxes.length;
  }
  const bar = form.querySelector("[data-bulkbar]");
  if (!bar) return;
  bar.toggleAttribute("data-idle", picked.length === 0);
  const everything = bar.querySelector("[data-everything]");
  const label = bar.querySelector("[data-count]");
  if (everything) {
    everything.closest("label").hidden = !(all?.checked && bar.hasAttribute("data-more"));
    if (!all?.checked) everything.checked = false;
  }
  if (label) {
    label.textContent = everything?.checked
      ? bar.dataset.matching
      : `${picked.length} selected`;
  }
}

function updateAll() {
  for (const form of document.querySelectorAll("[data-selection]")) update(form);
}

/** @type {HTMLInputElement | null} */
let last = null;

/** Shift and click ticks everything between this box and the last one. */
function tickRange(form, from, to) {
  const boxes = [...form.querySelectorAll(ROW)];
  const [start, end] = [boxes.indexOf(from), boxes.indexOf(to)].sort((a, b) => a - b);
  if (start < 0) return;
  for (const box of boxes.slice(start, end + 1)) box.checked = to.checked;
}

export function installSelection() {
  document.addEventListener("click", (event) => {
    const box = /** @type {Element} */ (event.target).closest?.(ROW);
    if (!(box instanceof HTMLInputElement)) return;
    const form = box.closest("[data-selection]");
    if (event.shiftKey && last?.isConnected && form) tickRange(form, last, box);
    last = box;
    if (form) update(form);
  });
  document.addEventListener("change", (event) => {
    const box = /** @type {HTMLInputElement} */ (event.target);
    const form = box.closest?.("[data-selection]");
    if (!form) return;
    if (box.matches("[data-pick-all]")) {
      for (const row of form.querySelectorAll(ROW)) row.checked = box.checked;
    }
    update(form);
  });
  document.addEventListener("click", (event) => {
    if (!(/** @type {Element} */ (event.target).closest?.("[data-clear-selection]"))) return;
    for (const row of document.querySelectorAll(`${ROW}, [data-pick-all]`)) row.checked = false;
    updateAll();
  });
  document.addEventListener("htmx:after:swap", updateAll);
  updateAll();
}
