/** Filter forms: the address says what is shown, so that reload and sharing show the same. */

/** @param {any} context of an htmx request */
function isFilter(context) {
  return context?.sourceElement instanceof HTMLFormElement && context.sourceElement.matches("form.filters");
}

/** @param {string} address @returns {string} without the parameters that ask for nothing */
function tidy(address) {
  const url = new URL(address, location.href);
  for (const [name, value] of [...url.searchParams]) {
    if (value === "") url.searchParams.delete(name);
  }
  return url.pathname + url.search;
}

export function installFilters() {
  document.addEventListener("htmx:after:swap", (event) => {
    const context = /** @type {CustomEvent} */ (event).detail?.ctx;
    if (!isFilter(context)) return;
    const address = tidy(context.request.action);
    history.replaceState(history.state, "", address);
    // From now on the live client fetches what is shown, not what was shown first.
    const live = document.getElementById("live");
    if (live?.hasAttribute("hx-get")) live.setAttribute("hx-get", address);
    for (const field of document.querySelectorAll('[data-preferences] input[name="next"]')) {
      field.value = address;
    }
  });
}
