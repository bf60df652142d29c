/** Menus made of <details>: Escape and a click elsewhere close them. */

const OPEN = "details[data-menu][open]";

export function installMenus() {
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(OPEN)) {
      if (!menu.contains(/** @type {Node} */ (event.target))) menu.removeAttribute("open");
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll(OPEN)) {
      menu.removeAttribute("open");
      menu.querySelector("summary")?.focus();
    }
  });
}
