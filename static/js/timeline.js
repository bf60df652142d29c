/** When every task ran: bars on a canvas, of which only those in view are drawn. */
import { ink, onTheme, unpacked } from "./drawing.js";
import { duration } from "./times.js";

const ROW = 20;
const BAR = 12;
const AXIS = 26;
const NAMES = 220;
const EVERY = 2000;
const INKS = { p: "--pending-solid", r: "--running-solid", s: "--successful-solid", f: "--failed-solid", c: "--canceled-solid" };
const WORDS = { p: "pending", r: "running", s: "successful", f: "failed", c: "canceled" };

/** Steps of the axis that people read easily, in milliseconds. */
function step(span, most) {
  const wanted = span / most;
  const unit = wanted >= 3600e3 ? 3600e3 : wanted >= 60e3 ? 60e3 : wanted >= 1000 ? 1000 : 1;
  const nice = [1, 2, 5, 10, 15, 20, 30, 50, 100, 200, 250, 500, 1000];
  return unit * (nice.find((each) => each * unit >= wanted) ?? 1000);
}

class Timeline {
  /** @param {HTMLElement} frame */
  constructor(frame) {
    this.frame = frame;
    this.scroller = frame.querySelector("[data-scroll]");
    this.space = frame.querySelector("[data-space]");
    this.canvas = frame.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.told = frame.querySelector("[data-told]");
    this.at = 0;
    this.filter = "";
    this.readColours();
    this.listen();
  }

  /** @param {any} data */
  take(data) {
    const isWhole = !this.data || (this.from === 0 && this.to === this.span);
    this.data = data;
    for (const name of ["names", "ready", "begin", "end", "saved", "tries"]) this[name] = unpacked(data[name]);
    this.retried = new Map();
    for (let at = 0; at < this.tries.length; at += 3) {
      const list = this.retried.get(this.tries[at]) ?? [];
      list.push([this.tries[at + 1], this.tries[at + 2]]);
      this.retried.set(this.tries[at], list);
    }
    let last = data.is_over ? 1 : data.now;
    for (const list of [this.end, this.saved]) for (const value of list) if (value > last) last = value;
    this.span = Math.max(1, last);
    if (isWhole) [this.from, this.to] = [0, this.span];
    this.choose();
  }

  /** Which rows there are, given what is searched. */
  choose() {
    const { ids, titles } = this.data;
    const wanted = this.filter.toLowerCase();
    this.rows = [];
    for (let at = 0; at < ids.length; at += 1) {
      if (!wanted || ids[at].toLowerCase().includes(wanted) || titles[this.names[at]].toLowerCase().includes(wanted)) this.rows.push(at);
    }
    this.at = Math.min(this.at, Math.max(0, this.rows.length - 1));
    this.space.style.blockSize = `${AXIS + this.rows.length * ROW}px`;
    this.frame.dataset.drawn = String(this.rows.length);
    this.say();
    this.draw();
  }

  readColours() {
    this.inks = Object.fromEntries(Object.entries(INKS).map(([letter, token]) => [letter, ink(token)]));
    for (const name of ["text", "text-2", "line", "surface", "surface-2", "accent", "pending-soft", "ray"]) this.inks[name] = ink(`--${name}`);
    this.font = getComputedStyle(document.body).fontFamily;
  }

  get namesWidth() {
    return Math.min(NAMES, this.scroller.clientWidth * 0.35);
  }

  /** @param {number} time */
  x(time) {
    const room = this.scroller.clientWidth - this.namesWidth - 16;
    return this.namesWidth + ((time - this.from) / (this.to - this.from)) * room;
  }

  /** @param {number} x */
  time(x) {
    const room = this.scroller.clientWidth - this.namesWidth - 16;
    return this.from + ((x - this.namesWidth) / room) * (this.to - this.from);
  }

  draw() {
    if (this.waits || !this.data) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.paint();
    });
  }

  paint() {
    const { context, canvas, scroller } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [scroller.clientWidth, scroller.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.inlineSize = `${width}px`;
      canvas.style.blockSize = `${height}px`;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const first = Math.max(0, Math.floor((scroller.scrollTop) / ROW));
    const last = Math.min(this.rows.length, first + Math.ceil(height / ROW) + 1);
    for (let row = first; row < last; row += 1) this.paintRow(row, AXIS + row * ROW - scroller.scrollTop, width);
    this.paintAxis(width, height);
  }

  paintRow(row, top, width) {
    const { context } = this;
    const at = this.rows[row];
    if (row === this.at) {
      context.fillStyle = this.inks["surface-2"];
      context.fillRect(0, top, width, ROW);
    }
    const y = top + (ROW - BAR) / 2;
    context.save();
    context.beginPath();
    context.rect(this.namesWidth, top, width - this.namesWidth, ROW);
    context.clip();
    const status = this.data.statuses[at];
    const end = this.end[at] < 0 ? this.data.now : this.end[at];
    this.bar(this.ready[at], this.begin[at], y + 4, BAR - 8, this.inks.p, 0.55);
    for (const [from, to] of this.retried.get(at) ?? []) this.bar(from, to, y, BAR, this.inks.f, 0.45);
    this.bar(this.begin[at], end, y, BAR, this.inks[status], 1);
    if (this.saved[at] > end) this.bar(end, this.saved[at], y, BAR, this.inks.ray, 1);
    context.restore();
    context.font = `${row === this.at ? 600 : 400} 12px ${this.font}`;
    context.fillStyle = this.inks.text;
    context.save();
    context.beginPath();
    context.rect(12, top, this.namesWidth - 20, ROW);
    context.clip();
    context.fillText(this.data.ids[at], 12, top + 14);
    context.restore();
  }

  bar(from, to, y, height, colour, alpha) {
    const x1 = this.x(from);
    const x2 = this.x(to);
    if (to <= from && alpha < 1) return;
    this.context.globalAlpha = alpha;
    this.context.fillStyle = colour;
    this.context.fillRect(x1, y, Math.max(alpha < 1 ? 0 : 1.5, x2 - x1), height);
    this.context.globalAlpha = 1;
  }

  paintAxis(width, height) {
    const { context } = this;
    context.fillStyle = this.inks["surface-2"];
    context.fillRect(0, 0, width, AXIS);
    context.font = `11px ${this.font}`;
    const size = step(this.to - this.from, Math.max(2, (width - this.namesWidth) / 110));
    for (let time = Math.ceil(this.from / size) * size; time <= this.to; time += size) {
      const x = this.x(time);
      context.fillStyle = this.inks.line;
      context.fillRect(x, AXIS - 5, 1, height);
      context.fillStyle = this.inks["text-2"];
      const words = time === 0 ? "0" : duration(time);
      const isCut = x + 8 + context.measureText(words).width > width;
      context.textAlign = isCut ? "right" : "left";
      context.fillText(words, x + (isCut ? -4 : 4), 16);
      context.textAlign = "left";
    }
  }

  listen() {
    const { scroller, frame } = this;
    scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(scroller);
    scroller.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      const amount = event.deltaY || event.deltaX;
      if (event.ctrlKey) this.zoom(amount > 0 ? 1.25 : 0.8, this.time(event.offsetX));
      else this.pan(amount / 600);
    }, { passive: false });
    scroller.addEventListener("pointermove", (event) => this.point(event));
    scroller.addEventListener("click", (event) => {
      const row = this.rowAt(event);
      if (row >= 0) this.open(row);
    });
    scroller.addEventListener("keydown", (event) => this.key(event));
    frame.querySelector("[data-find]").addEventListener("input", (event) => {
      this.filter = event.target.value.trim();
      this.choose();
    });
    frame.addEventListener("click", (event) => {
      const button = event.target.closest?.("[data-zoom]");
      if (!button) return;
      if (button.dataset.zoom === "fit") this.show(0, this.span);
      else this.zoom(button.dataset.zoom === "in" ? 0.5 : 2, (this.from + this.to) / 2);
    });
    onTheme(() => {
      this.readColours();
      this.draw();
    });
  }

  /** @param {PointerEvent | MouseEvent} event */
  rowAt(event) {
    const y = event.clientY - this.scroller.getBoundingClientRect().top + this.scroller.scrollTop - AXIS;
    const row = Math.floor(y / ROW);
    return row >= 0 && row < (this.rows?.length ?? 0) ? row : -1;
  }

  point(event) {
    const row = this.rowAt(event);
    if (row < 0 || row === this.at) return;
    this.at = row;
    this.say();
    this.draw();
  }

  key(event) {
    const page = Math.floor(this.scroller.clientHeight / ROW) - 1;
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in moves) this.at = Math.min(this.rows.length - 1, Math.max(0, this.at + moves[event.key]));
    else if (event.key === "Enter") this.open(this.at);
    else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 0.7 : 1.4, (this.from + this.to) / 2);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.pan(event.key === "ArrowLeft" ? -0.1 : 0.1);
    else return;
    event.preventDefault();
    event.stopPropagation();
    const top = this.at * ROW;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + ROW + AXIS > scrollTop + clientHeight) this.scroller.scrollTop = top + ROW + AXIS - clientHeight;
    this.say();
    this.draw();
  }

  zoom(factor, around) {
    this.show(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  pan(share) {
    const by = (this.to - this.from) * share;
    if (this.from + by >= 0 && this.to + by <= this.span) this.show(this.from + by, this.to + by);
  }

  show(from, to) {
    this.from = Math.max(0, from);
    this.to = Math.min(this.span, Math.max(to, this.from + 1));
    const url = new URL(location.href);
    const isWhole = this.from === 0 && this.to === this.span;
    if (isWhole) for (const name of ["from", "to"]) url.searchParams.delete(name);
    else {
      url.searchParams.set("from", String(Math.round(this.from)));
      url.searchParams.set("to", String(Math.round(this.to)));
    }
    history.replaceState(history.state, "", url);
    this.draw();
  }

  open(row) {
    const id = this.data.ids[this.rows[row]];
    if (id !== undefined) location.assign(this.frame.dataset.taskAddress.replace("__TASK__", encodeURIComponent(id)));
  }

  /** The row under the pointer or chosen by the keyboard, in words. */
  say() {
    const at = this.rows[this.at];
    if (at === undefined) {
      this.told.textContent = "No task fits.";
      return;
    }
    const end = this.end[at] < 0 ? this.data.now : this.end[at];
    const waited = this.begin[at] - this.ready[at];
    const tries = (this.retried.get(at)?.length ?? 0) + 1;
    const parts = [WORDS[this.data.statuses[at]], `ran ${duration(end - this.begin[at])}`, `after ${duration(this.begin[at])}`];
    if (waited > 0) parts.push(`queued ${duration(waited)}`);
    if (this.saved[at] > end) parts.push(`checkpoint ${duration(this.saved[at] - end)}`);
    if (tries > 1) parts.push(`${tries} attempts`);
    this.told.textContent = `${this.data.ids[at]}: ${parts.join(", ")}`;
  }
}

async function read(frame) {
  const response = await fetch(frame.dataset.bars).catch(() => null);
  return response?.ok && !response.redirected ? response.json() : null;
}

async function main() {
  const frame = document.querySelector("[data-bars]");
  if (!(frame instanceof HTMLElement)) return;
  const data = await read(frame);
  if (!data) {
    frame.querySelector("[data-told]").textContent = "The tasks could not be read; the list below shows them page by page.";
    return;
  }
  const timeline = new Timeline(frame);
  timeline.take(data);
  const given = new URL(location.href).searchParams;
  if (given.has("from") && given.has("to")) timeline.show(Number(given.get("from")) || 0, Number(given.get("to")) || timeline.span);
  const timer = setInterval(async () => {
    if (timeline.data.is_over) clearInterval(timer);
    else if (!document.hidden) {
      const fresh = await read(frame);
      if (fresh && (fresh.seq !== timeline.data.seq || !fresh.is_over)) timeline.take(fresh);
    }
  }, Math.max(EVERY, data.ids.length / 5));
}

void main();
