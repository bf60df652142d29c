/** What our drawings on canvases share: colours of the design, and numbers as the server packs them. */

/** @param {string} token of a colour, such as "--line" @returns {string} its present value */
export function ink(token) {
  return colour(`var(${token})`);
}

/** @param {string} css any colour @returns {string} as the browser writes it */
export function colour(css) {
  const probe = document.createElement("span");
  probe.style.color = css;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/**
 * @param {string} text base64 of numbers of four bytes each, little end first
 * @param {Float32ArrayConstructor | Int32ArrayConstructor} Kind
 */
export function unpacked(text, Kind = Int32Array) {
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return new Kind(bytes.buffer);
}

/** Call `then` whenever the reader chooses another theme. @param {() => void} then */
export function onTheme(then) {
  new MutationObserver(then).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
