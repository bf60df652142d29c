/** Short messages: the server's flash messages become toasts; a live region speaks at most every 5 s. */

const LIFETIME = 7000;
const QUIET = 5000;
let spokenAt = -QUIET;
let waiting = "";
let timer = 0;

/** Say `text` to screen readers, at most one message per five seconds, the latest one winning. */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (!region) return;
  waiting = text;
  const wait = Math.max(0, spokenAt + QUIET - performance.now());
  clearTimeout(timer);
  timer = setTimeout(() => {
    region.textContent = waiting;
    spokenAt = performance.now();
  }, wait);
}

/** @param {HTMLElement} toast */
function arm(toast) {
  let left = setTimeout(() => toast.remove(), LIFETIME);
  const hold = () => clearTimeout(left);
  const release = () => {
    clearTimeout(left);
    left = setTimeout(() => toast.remove(), LIFETIME);
  };
  toast.addEventListener("pointerenter", hold);
  toast.addEventListener("focusin", hold);
  toast.addEventListener("pointerleave", release);
  toast.addEventListener("focusout", release);
}

export function installToasts() {
  const shelf = document.getElementById("toasts");
  if (!shelf) return;
  for (const message of document.querySelectorAll("[data-message]")) {
    // Errors stay in the page: something that went wrong must not vanish by itself.
    if (message.dataset.message === "error") continue;
    message.className = `toast ${message.dataset.tone ?? ""}`;
    shelf.append(message);
    arm(message);
  }
  document.addEventListener("click", (event) => {
    const button = /** @type {Element} */ (event.target).closest?.("[data-dismiss]");
    button?.closest("[data-message]")?.remove();
  });
}
