/** Times: relative, local or UTC as the reader chose; running durations count on. */

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

/** @returns {string} the value of a cookie, or "" */
export function cookie(name) {
  const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  // The server puts quotes around a value with a slash.
  return found ? decodeURIComponent(found.slice(name.length + 1)).replace(/^"(.*)"$/, "$1") : "";
}

/** @param {number} seconds since the moment; negative when it lies ahead */
export function relative(seconds) {
  const amount = Math.abs(seconds);
  const words =
    amount < 5 ? "" :
    amount < MINUTE ? `${Math.floor(amount)} s` :
    amount < HOUR ? `${Math.floor(amount / MINUTE)} min` :
    amount < DAY ? `${Math.floor(amount / HOUR)} h` :
    `${Math.floor(amount / DAY)} d`;
  if (!words) return "just now";
  return seconds < 0 ? `in ${words}` : `${words} ago`;
}

/** @param {number} milliseconds */
export function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1) return `${Math.round(Math.max(0, milliseconds))} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [size, unit, smaller, smallerUnit] =
    whole >= DAY ? [DAY, "d", HOUR, "h"] : whole >= HOUR ? [HOUR, "h", MINUTE, "min"] : [MINUTE, "min", 1, "s"];
  const rest = Math.floor((whole % size) / smaller);
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${smallerUnit}` : ""}`;
}

/** @param {Date} date @param {string} zone an IANA name */
function absolute(date, zone) {
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  }).formatToParts(date);
  const at = (type) => parts.find((part) => part.type === type)?.value ?? "";
  return `${at("year")}-${at("month")}-${at("day")} ${at("hour")}:${at("minute")}:${at("second")}`;
}

/** The zone of local times: the one chosen in the settings, else the browser's. */
export function localZone() {
  const chosen = cookie("zone");
  try {
    if (chosen && Intl.DateTimeFormat("en", { timeZone: chosen })) return chosen;
  } catch {
    // a zone that this browser does not know
  }
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** @param {HTMLTimeElement} element */
function render(element, mode, zone, now) {
  const date = new Date(element.dateTime);
  if (Number.isNaN(date.getTime())) return;
  const utc = `${absolute(date, "UTC")} UTC`;
  const local = `${absolute(date, zone)} ${zone}`;
  const exact = "exact" in element.dataset;
  const text = mode === "utc" ? utc : mode === "local" || exact ? local : relative((now - date.getTime()) / 1000);
  if (element.textContent !== text) element.textContent = text;
  const title = zone === "UTC" ? utc : `${local}\n${utc}`;
  if (element.title !== title) element.title = title;
}

/** The server's clock minus ours, so that "ago" and running durations are right on any machine. */
let skew = 0;

/** @param {number} serverTime milliseconds since the epoch */
export function setServerTime(serverTime) {
  if (Number.isFinite(serverTime)) skew = serverTime - Date.now();
}

/** Bring every time below `root` up to date. */
export function refreshTimes(root = document) {
  const mode = cookie("times");
  const zone = localZone();
  const now = Date.now() + skew;
  for (const element of root.querySelectorAll("time[datetime]")) render(element, mode, zone, now);
  for (const element of root.querySelectorAll("[data-since]")) {
    element.textContent = duration(now - Date.parse(element.dataset.since));
  }
}

export function installTimes() {
  refreshTimes();
  setInterval(() => document.hidden || refreshTimes(), 1000);
  document.addEventListener("htmx:after:swap", () => refreshTimes());
}
