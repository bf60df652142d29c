/** A log opens at its end and stays there while lines arrive, unless the reader has scrolled up. */

const NEAR = 40;
let wasAtEnd = true;

const log = () => document.querySelector("[data-log-end]");

function toEnd() {
  const box = log();
  if (box && wasAtEnd) box.scrollTop = box.scrollHeight;
}

export function installLog() {
  if (!log()) return;
  toEnd();
  document.addEventListener(
    "scroll",
    (event) => {
      const box = log();
      if (event.target === box && box) wasAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
    },
    true,
  );
  document.addEventListener("htmx:after:swap", toEnd);
}
