/** Live pages: a doorbell from the socket makes the regions that listen to its topic refresh. */
import { refresh, installRegions, regions, topicsOf } from "./regions.js";
import { LiveSocket } from "./socket.js";
import { announce } from "./toasts.js";

const POLL = 5000;
const WATCH = 1500;
const WORDS = {
  connecting: ["Connecting", "Connecting to the live updates"],
  live: ["Live", "Changes appear as they happen"],
  delayed: ["Delayed", "No sign of life from the server for more than 12 seconds"],
  polling: ["Polling", "No live connection; the page is fetched anew every 5 seconds"],
  offline: ["Offline", "The live connection was lost; trying again"],
  "signed-out": ["Signed out", "Your session has ended; sign in again for live updates"],
};

let state = "connecting";

/** @param {keyof typeof WORDS} next */
function show(next) {
  if (next === state) return;
  const before = state;
  state = next;
  const badge = document.getElementById("live-badge");
  if (!badge) return;
  const [word, title] = WORDS[next];
  badge.dataset.state = next;
  badge.textContent = word;
  badge.title = `${title} (since ${new Date().toLocaleTimeString()})`;
  if (!(before === "connecting" && next === "live")) announce(`Live updates: ${title}.`);
}

/** @param {string} topic */
function ring(topic) {
  for (const region of regions()) {
    if (topicsOf(region).some((wanted) => wanted.topic === topic)) refresh(region);
  }
}

/** Regions whose subject has no topic of its own (a command, a bulk operation) ask while it is open. */
function watch() {
  if (document.hidden) return;
  for (const region of regions()) if (region.querySelector("[data-watch]")) refresh(region);
}

export function installLive() {
  installRegions();
  const badge = document.getElementById("live-badge");
  if (!badge) return;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new LiveSocket(`${scheme}//${location.host}${badge.dataset.socket}`, {
    onMoved: ring,
    onState: show,
  });
  const sync = () => socket.want(regions().flatMap(topicsOf));
  sync();
  socket.open();
  document.addEventListener("htmx:after:swap", sync);
  setInterval(() => {
    if (state === "polling" && !document.hidden) regions().forEach(refresh);
  }, POLL);
  setInterval(watch, WATCH);
}
