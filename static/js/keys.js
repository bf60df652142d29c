/** Keyboard: single keys only where nothing is typed; they never act, they only go and open. */

import { cookie } from "./times.js";

const PAGES = { o: "overview", w: "workflows", f: "failures", a: "approvals", s: "schedules", l: "launch", d: "definitions", c: "cluster", t: "storage" };
/** Keys of the page itself: each opens what has it as `data-key`. */
const ACTIONS = ["r", "c", "f", "l"];
let awaiting = 0;

/** @param {KeyboardEvent} event */
function isTyping(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  return (
    event.ctrlKey || event.metaKey || event.altKey || event.isComposing ||
    target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) ||
    document.querySelector("dialog[open]") !== null
  );
}

/** @param {number} step */
function moveRow(step) {
  const links = [...document.querySelectorAll("[data-row-link]")];
  if (!links.length) return;
  const row = document.activeElement?.closest("tr");
  const at = links.findIndex((link) => link.closest("tr") === row);
  links[Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
}

/** @param {string} name */
function goTo(name) {
  const link = document.querySelector(`.nav a[data-page="${name}"]`);
  if (link instanceof HTMLAnchorElement) link.click();
}

function nextTimeFormat() {
  const buttons = [...document.querySelectorAll('[data-preferences] button[name="times"]')];
  const at = buttons.findIndex((button) => button.getAttribute("aria-pressed") === "true");
  buttons[(at + 1) % buttons.length]?.click();
}

function openInNewTab() {
  const link = document.activeElement?.closest("tr")?.querySelector("[data-row-link]");
  if (link instanceof HTMLAnchorElement) window.open(link.href, "_blank", "noopener");
}

export function installKeys() {
  document.addEventListener("keydown", (event) => {
    if (isTyping(event) || cookie("keys") === "off") return;
    const key = event.key;
    if (awaiting && performance.now() - awaiting < 1200 && PAGES[key]) {
      awaiting = 0;
      event.preventDefault();
      goTo(PAGES[key]);
      return;
    }
    awaiting = key === "g" ? performance.now() : 0;
    if (key === "/") {
      const field = document.querySelector("[data-search]");
      if (field instanceof HTMLInputElement) {
        event.preventDefault();
        field.focus();
        field.select();
      }
    } else if (key === "?") {
      document.querySelector("[data-help]")?.click();
    } else if (key === "j") moveRow(1);
    else if (key === "k") moveRow(-1);
    else if (key === "x") document.activeElement?.closest("tr")?.querySelector("[data-pick]")?.click();
    else if (key === "X") document.activeElement?.closest("tr")?.querySelector("[data-pick]")?.dispatchEvent(new MouseEvent("click", { shiftKey: true, bubbles: true, cancelable: true }));
    else if (key === "o") openInNewTab();
    else if (key === "t") nextTimeFormat();
    else if (ACTIONS.includes(key)) document.querySelector(`[data-key="${key}"]`)?.click();
    else if (/^[1-9]$/.test(key)) document.querySelectorAll("[data-tabs] a")[Number(key) - 1]?.click();
  });
}
