/** Parts of the page that the server renders again when their topics move, at most 4 times a second. */
import { isFilter, markMistake } from "./filters.js";

const LEAST_PAUSE = 250;
const SELECTOR = "[data-live]";

/** @type {WeakMap<Element, {busy: boolean, dirty: boolean, from: number, took: number, timer: number}>} */
const states = new WeakMap();

/** @param {Element} region */
function stateOf(region) {
  let state = states.get(region);
  if (!state) {
    state = { busy: false, dirty: false, from: -Infinity, took: 0, timer: 0 };
    states.set(region, state);
  }
  return state;
}

/** @returns {HTMLElement[]} */
export function regions() {
  return [...document.querySelectorAll(SELECTOR)];
}

/** What the page wants to hear about. @param {HTMLElement} region */
export function topicsOf(region) {
  try {
    return JSON.parse(region.dataset.live ?? "[]");
  } catch {
    return [];
  }
}

/** Ask for a new rendering of `region`; calls within one pause become one request. */
export function refresh(region) {
  const state = stateOf(region);
  state.dirty = true;
  if (state.busy || state.timer || document.hidden) return;
  // A slow server is asked less often: the pause is never shorter than its last answer took.
  const pause = Math.max(LEAST_PAUSE, state.took);
  const wait = Math.max(0, state.from + pause - performance.now());
  state.timer = window.setTimeout(() => fetchNow(region, state), wait);
}

function fetchNow(region, state) {
  state.timer = 0;
  if (!region.isConnected) return;
  state.dirty = false;
  state.busy = true;
  state.from = performance.now();
  window.htmx.trigger(region, "live-refresh");
}

/** @param {Event} event */
function finished(event) {
  const region = event.target;
  if (!(region instanceof Element) || !states.has(region)) return;
  const state = stateOf(region);
  if (!state.busy) return;
  state.busy = false;
  state.took = performance.now() - state.from;
  if (state.dirty) refresh(region);
}

export function installRegions() {
  document.addEventListener("htmx:finally:request", finished);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const region of regions()) if (stateOf(region).dirty) refresh(region);
  });
  // An answer that is no fragment (signed out, gone, broken) never replaces what is on the page.
  document.addEventListener("htmx:before:swap", (event) => {
    const context = /** @type {CustomEvent} */ (event).detail?.ctx;
    const status = context?.response?.status ?? 200;
    // What is wrong with a search is part of its answer, once the search is finished and not half written.
    const isMistake = status === 400 && isFilter(context) && context.sourceEvent?.type !== "input";
    if (isFilter(context)) markMistake(context.sourceElement, status === 400);
    if (context?.response?.raw?.redirected || (status >= 400 && !isMistake)) event.preventDefault();
  });
}
