/** The launch form: the fields and the JSON tab describe the same parameters and stay in step. */

/** @param {HTMLFormElement} form @returns {(HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement)[]} */
const fieldsOf = (form) => [...form.querySelectorAll("[data-pointer]")];

/** @param {string} pointer */
const pathOf = (pointer) =>
  pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));

/** The value of one field, or undefined when it is left out. Throws on JSON that cannot be read. */
function readField(field) {
  const { kind, nullable } = field.dataset;
  if (kind === "boolean") return field.checked;
  const text = field.value;
  if (text.trim() === "" && kind !== "string") return nullable ? null : undefined;
  if (kind === "string") {
    if (text !== "") return text;
    return nullable ? null : field.dataset.keepEmpty ? "" : undefined;
  }
  if (kind === "list") return text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => readItem(line, field.dataset.items));
  if (kind === "integer" || kind === "number") return Number(text);
  return JSON.parse(text);
}

/** @param {string} line @param {string | undefined} type */
function readItem(line, type) {
  if (type === "integer" || type === "number") return Number(line);
  if (type === "boolean") return line === "true";
  return line;
}

/** @param {HTMLFormElement} form */
export function readForm(form) {
  const result = {};
  for (const field of fieldsOf(form)) {
    const value = readField(field);
    if (value === undefined) continue;
    const path = pathOf(field.dataset.pointer);
    const last = path.pop();
    let place = result;
    for (const part of path) place = place[part] ??= {};
    place[last] = value;
  }
  return result;
}

/** @param {HTMLFormElement} form @param {any} values */
export function writeForm(form, values) {
  for (const field of fieldsOf(form)) {
    const value = pathOf(field.dataset.pointer).reduce((place, part) => place?.[part], values);
    if (field.dataset.kind === "boolean") field.checked = value === true;
    else if (value === undefined || value === null) field.value = "";
    else if (field.dataset.kind === "list" && Array.isArray(value)) field.value = value.join("\n");
    else if (field.dataset.kind === "json" || field.dataset.kind === "enum") field.value = field.dataset.kind === "enum" ? JSON.stringify(value) : JSON.stringify(value, null, 2);
    else field.value = String(value);
  }
}

/** @param {HTMLFormElement} form @param {string} mode */
function showMode(form, mode) {
  form.dataset.mode = mode;
  for (const panel of form.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== mode;
  for (const tab of form.querySelectorAll("[data-mode-tab]")) {
    tab.setAttribute("aria-pressed", String(tab.dataset.modeTab === mode));
  }
  form.elements.namedItem("mode").value = mode;
}

/** @param {HTMLFormElement} form @param {string} mode */
function switchMode(form, mode) {
  const editor = form.querySelector("[data-json-editor]");
  const note = form.querySelector("[data-json-note]");
  try {
    if (mode === "json") editor.value = JSON.stringify(readForm(form), null, 2);
    else writeForm(form, JSON.parse(editor.value || "{}"));
  } catch (error) {
    note.textContent = `The text is not valid JSON yet: ${error.message}`;
    note.hidden = false;
    return;
  }
  note.hidden = true;
  showMode(form, mode);
}

export function installLaunchForm() {
  const form = document.querySelector("form[data-launch]");
  if (!(form instanceof HTMLFormElement)) return;
  form.addEventListener("click", (event) => {
    const tab = /** @type {Element} */ (event.target).closest?.("[data-mode-tab]");
    if (!(tab instanceof HTMLElement)) return;
    event.preventDefault();
    if (tab.dataset.modeTab !== form.dataset.mode) switchMode(form, tab.dataset.modeTab);
  });
  form.addEventListener("submit", () => {
    for (const button of form.querySelectorAll("[data-once]")) button.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const button of form.querySelectorAll("[data-once]")) button.removeAttribute("aria-busy");
  });
  /** @type {HTMLElement | null} */ (document.querySelector(".error-summary, [data-jump]"))?.focus();
}
