/** Filter forms: the address says what is shown, so that reload and sharing show the same. */

/** @param {any} context of an htmx request */
export function isFilter(context) {
  return context?.sourceElement instanceof HTMLFormElement && context.sourceElement.matches("form.filters");
}

/** Tell at the search field whether it can be read. @param {HTMLFormElement} form @param {boolean} is */
export function markMistake(form, is) {
  form.querySelector("[data-search]")?.setAttribute("aria-invalid", String(is));
}

/** @param {string} address @returns {string} without the parameters that ask for nothing */
function tidy(address) {
  const url = new URL(address, location.href);
  for (const [name, value] of [...url.searchParams]) {
    if (value === "") url.searchParams.delete(name);
  }
  return url.pathname + url.search;
}

/** Marks the view above the list that shows what the address asks for. @param {string} address */
function markView(address) {
  const given = new URL(address, location.href).searchParams;
  const query = given.get("status") || given.get("definition") ? null : (given.get("q") ?? "");
  for (const link of document.querySelectorAll("[data-views] [data-query]")) {
    link.toggleAttribute("aria-current", link.dataset.query === query);
    if (link.hasAttribute("aria-current")) link.setAttribute("aria-current", "true");
  }
}

export function installFilters() {
  document.addEventListener("htmx:after:swap", (event) => {
    const context = /** @type {CustomEvent} */ (event).detail?.ctx;
    if (!isFilter(context)) return;
    const address = tidy(context.request.action);
    history.replaceState(history.state, "", address);
    markView(address);
    // From now on the live client fetches what is shown, not what was shown first.
    const live = document.getElementById("live");
    if (live?.hasAttribute("hx-get")) live.setAttribute("hx-get", address);
    for (const field of document.querySelectorAll('[data-preferences] input[name="next"]')) {
      field.value = address;
    }
  });
}
