/** Confirmation: a link marked `data-confirm` opens its page inside a <dialog> instead. */

/** @returns {HTMLDialogElement | null} */
const dialog = () => /** @type {HTMLDialogElement | null} */ (document.getElementById("confirm"));

/** @type {Element | null} */
let opener = null;

/** @param {string} url */
async function open(url) {
  const box = dialog();
  if (!box) return;
  const response = await fetch(url, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
  // Anything unexpected (signed out, gone) is better explained by the page itself.
  if (!response.ok || response.redirected) {
    window.location.assign(url);
    return;
  }
  box.innerHTML = await response.text();
  for (const input of box.querySelectorAll("[data-number]")) checkNumber(input);
  box.showModal();
  (box.querySelector("[autofocus]") ?? box.querySelector("[data-close]"))?.focus();
}

/** @param {HTMLFormElement} form @param {HTMLElement | null} submitter */
function addressOf(form, submitter) {
  const data = new FormData(form, submitter);
  return `${form.getAttribute("action")}?${new URLSearchParams(/** @type {any} */ (data))}`;
}

/** A destructive form with a number to type stays shut until the number is right. */
function checkNumber(input) {
  const form = input.form;
  const button = form?.querySelector("[data-needs-number]");
  if (button) button.disabled = input.value.trim() !== input.dataset.number;
}

export function installDialogs() {
  document.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const link = target.closest?.("a[data-confirm]");
    if (link instanceof HTMLAnchorElement && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      opener = link;
      open(link.href);
    }
    if (target.closest?.("#confirm [data-close]")) {
      event.preventDefault();
      dialog()?.close();
    }
    if (target === dialog()) dialog()?.close();
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !form.matches("form[data-confirm]")) return;
    event.preventDefault();
    opener = event.submitter;
    open(addressOf(form, event.submitter));
  });
  document.addEventListener("input", (event) => {
    const input = /** @type {HTMLElement} */ (event.target);
    if (input.matches?.("[data-number]")) checkNumber(input);
  });
  dialog()?.addEventListener("close", () => {
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    opener = null;
  });
}
