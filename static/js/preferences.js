/** Theme and time format: applied at once, kept in a cookie that the server reads, and with the account. */
import { refreshTimes } from "./times.js";

const YEAR = 365 * 86400;

/** @param {SubmitEvent} event */
function apply(event) {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.matches("[data-preferences]")) return;
  const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
  if (!button?.name) return;
  event.preventDefault();
  const body = new FormData(form, button);
  fetch(form.action, { method: "POST", body, redirect: "manual" }).catch(() => {});
  document.cookie = `${button.name}=${button.value}; path=/; max-age=${YEAR}; samesite=lax`;
  for (const other of form.querySelectorAll(`button[name="${button.name}"]`)) {
    other.setAttribute("aria-pressed", String(other === button));
  }
  if (button.name === "theme") document.documentElement.dataset.theme = button.value;
  refreshTimes();
}

export function installPreferences() {
  document.addEventListener("submit", apply);
}
