/** The swap style "morph": new markup flows into the page without losing what the reader does. */

/** Attributes that belong to the browser's side of an element. */
const OURS = new Set(["data-htmx-powered", "data-picked", "data-copied", "open"]);

/** Morph `target`'s children into `content`, keeping focus, ticks, open details and live times. */
export function morph(target, content) {
  return window.Idiomorph.morph(target, content, {
    morphStyle: "innerHTML",
    ignoreActiveValue: true,
    callbacks: { beforeNodeMorphed, beforeAttributeUpdated },
  });
}

/**
 * @param {Node} before
 * @param {Node} after
 */
function beforeNodeMorphed(before, after) {
  if (!(before instanceof Element) || !(after instanceof Element)) return true;
  if (before.matches("time")) return before.getAttribute("datetime") !== after.getAttribute("datetime");
  if (before.matches("[data-since]")) return before.dataset.since !== after.dataset?.since;
  if (before instanceof HTMLInputElement && before.type === "checkbox") {
    after.toggleAttribute("checked", before.checked);
  }
  // A chart draws itself into its frame and follows its numbers.
  if (before.matches("[data-plot], [data-whole-graph], [data-bars]") || isEdited(before)) return false;
  if (before.matches("[data-status]") && before.dataset.status !== after.dataset?.status) {
    markFresh(before);
  }
  return true;
}

/** Whether a reader has written or chosen something that is not sent yet. @param {Element} field */
function isEdited(field) {
  if (field instanceof HTMLSelectElement) {
    return [...field.options].some((option) => option.selected !== option.defaultSelected);
  }
  const isText = field instanceof HTMLTextAreaElement || (field instanceof HTMLInputElement && field.type !== "checkbox");
  return isText && field.value !== field.defaultValue;
}

/** @param {string} name */
function beforeAttributeUpdated(name) {
  return !OURS.has(name);
}

/** @param {Element} element */
function markFresh(element) {
  requestAnimationFrame(() => {
    element.classList.add("fresh");
    element.addEventListener("animationend", () => element.classList.remove("fresh"), { once: true });
  });
}

export function installMorph() {
  window.htmx.registerExtension("rayflow-morph", {
    handle_swap(style, target, fragment) {
      if (style !== "morph") return false;
      morph(target, [...fragment.childNodes]);
      return [...target.children];
    },
  });
}
