/** Every task of a workflow as a point, drawn with WebGL; the server has placed them. */
import { colour, onTheme, unpacked } from "./drawing.js";
import { announce } from "./toasts.js";

const STATUSES = { p: "--pending-solid", r: "--running-solid", s: "--successful-solid", f: "--failed-solid", c: "--canceled-solid" };
const HUES = 12;
const EVERY = 1500;

/** @param {string} css any colour @returns {string} as WebGL's colours are read */
function rgb(css) {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  context.fillStyle = colour(css);
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return `rgb(${red}, ${green}, ${blue})`;
}

class WholeGraph {
  /** @param {HTMLElement} frame @param {any} data */
  constructor(frame, data) {
    this.frame = frame;
    this.data = data;
    this.statuses = [...data.statuses];
    this.seq = data.seq;
    this.index = new Map(data.ids.map((id, at) => [id, at]));
    this.names = unpacked(data.names);
    this.wanted = "";
    this.shown = new Set(Object.keys(STATUSES));
    this.paint = "status";
    this.readColours();
    this.build();
    this.listen();
    this.tell();
  }

  readColours() {
    this.inks = Object.fromEntries(Object.entries(STATUSES).map(([letter, token]) => [letter, rgb(`var(${token})`)]));
    this.hues = Array.from({ length: HUES }, (_, at) => rgb(`oklch(0.66 0.15 ${(at * 360) / HUES})`));
    this.faint = rgb("var(--surface-3)");
    this.line = rgb("var(--line)");
    this.ink = rgb("var(--text)");
  }

  build() {
    const { ids, edges } = this.data;
    const xs = unpacked(this.data.xs, Float32Array);
    const ys = unpacked(this.data.ys, Float32Array);
    const graph = new window.graphology.DirectedGraph();
    const size = ids.length > 5000 ? 2 : ids.length > 500 ? 3.5 : 7;
    ids.forEach((id, at) => graph.addNode(at, { x: xs[at], y: ys[at], size, label: id }));
    const pairs = unpacked(edges);
    for (let at = 0; at < pairs.length; at += 2) {
      if (pairs[at] !== pairs[at + 1]) graph.mergeEdge(pairs[at], pairs[at + 1]);
    }
    this.graph = graph;
    this.sigma = new window.Sigma(graph, this.frame.querySelector("[data-canvas]"), {
      defaultEdgeColor: this.line,
      hideEdgesOnMove: ids.length > 2000,
      hideLabelsOnMove: true,
      labelColor: { color: this.ink },
      labelFont: getComputedStyle(document.body).fontFamily,
      labelRenderedSizeThreshold: 6,
      labelSize: 12,
      minCameraRatio: 0.002,
      maxCameraRatio: 3,
      defaultDrawNodeHover: (context, node, settings) => this.drawHover(context, node, settings),
      nodeReducer: (node, attributes) => this.dress(Number(node), attributes),
    });
  }

  drawHover(context, node, settings) {
    const label = String(node.label ?? "");
    context.font = `600 12px ${settings.labelFont}`;
    const width = context.measureText(label).width + 16;
    context.fillStyle = rgb("var(--overlay)");
    context.strokeStyle = this.line;
    context.beginPath();
    context.roundRect(node.x + node.size + 4, node.y - 13, width, 26, 6);
    context.fill();
    context.stroke();
    context.fillStyle = this.ink;
    context.fillText(label, node.x + node.size + 12, node.y + 4);
  }

  /** @param {number} at */
  dress(at, attributes) {
    const status = this.statuses[at];
    const found = this.wanted && this.data.ids[at].toLowerCase().includes(this.wanted);
    if (!this.shown.has(status)) return { ...attributes, color: this.faint, label: null, zIndex: 0 };
    const color = this.paint === "name" ? this.hues[this.names[at] % HUES] : this.inks[status];
    if (this.wanted && !found) return { ...attributes, color: this.faint, label: null, zIndex: 0 };
    return { ...attributes, color, highlighted: false, zIndex: found || status === "f" ? 2 : 1, size: found ? attributes.size * 2 : attributes.size };
  }

  listen() {
    const { frame, sigma } = this;
    sigma.on("clickNode", ({ node }) => {
      location.assign(frame.dataset.taskAddress.replace("__TASK__", encodeURIComponent(this.data.ids[node])));
    });
    sigma.on("enterNode", () => { frame.querySelector("[data-canvas]").style.cursor = "pointer"; });
    sigma.on("leaveNode", () => { frame.querySelector("[data-canvas]").style.cursor = ""; });
    frame.querySelector("[data-find]").addEventListener("input", (event) => this.find(event.target.value));
    frame.querySelector("[data-paint]").addEventListener("change", (event) => {
      this.paint = event.target.value;
      sigma.refresh({ skipIndexation: true });
    });
    frame.addEventListener("click", (event) => {
      const button = event.target.closest?.("[data-zoom], [data-save]");
      if (!button) return;
      const camera = sigma.getCamera();
      if (button.dataset.zoom === "in") camera.animatedZoom({ duration: 150 });
      else if (button.dataset.zoom === "out") camera.animatedUnzoom({ duration: 150 });
      else if (button.dataset.zoom === "fit") camera.animatedReset({ duration: 150 });
      else this.save();
    });
    frame.addEventListener("change", (event) => {
      if (!event.target.matches("[data-show-status]")) return;
      this.shown = new Set([...frame.querySelectorAll("[data-show-status]:checked")].map((box) => box.value));
      sigma.refresh({ skipIndexation: true });
    });
    onTheme(() => {
      this.readColours();
      sigma.setSetting("defaultEdgeColor", this.line);
      sigma.setSetting("labelColor", { color: this.ink });
      sigma.refresh({ skipIndexation: true });
    });
  }

  /** @param {string} text */
  find(text) {
    this.wanted = text.trim().toLowerCase();
    if (!this.wanted) this.sigma.getCamera().animatedReset({ duration: 250 });
    const hits = this.wanted ? this.data.ids.flatMap((id, at) => (id.toLowerCase().includes(this.wanted) ? [at] : [])) : [];
    this.sigma.refresh({ skipIndexation: true });
    if (hits.length) {
      const place = this.sigma.getNodeDisplayData(String(hits[0]));
      this.sigma.getCamera().animate({ x: place.x, y: place.y, ratio: hits.length === 1 ? 0.15 : 0.6 }, { duration: 250 });
    }
    this.tell(this.wanted ? `${hits.length} of ${this.data.ids.length} tasks found` : undefined);
  }

  /** @param {string} [words] */
  tell(words) {
    const counts = {};
    for (const status of this.statuses) counts[status] = (counts[status] ?? 0) + 1;
    for (const place of this.frame.querySelectorAll("[data-count]")) {
      place.textContent = String(counts[place.dataset.count] ?? 0);
    }
    const total = `${this.data.ids.length} tasks, ${this.graph.size} edges`;
    this.frame.querySelector("[data-told]").textContent = words ?? total;
    this.frame.dataset.drawn = String(this.data.ids.length);
  }

  /** Statuses that changed since; false when tasks came and everything has to be read again. */
  async follow() {
    const response = await fetch(`${this.frame.dataset.wholeGraph}?after=${this.seq}`);
    if (!response.ok || response.redirected) return true;
    const { seq, total, changed } = await response.json();
    if (total !== this.data.ids.length) return false;
    this.seq = seq;
    for (const [id, status] of Object.entries(changed)) {
      const at = this.index.get(id);
      if (at !== undefined) this.statuses[at] = status;
    }
    if (Object.keys(changed).length) {
      this.sigma.refresh({ skipIndexation: true });
      this.tell();
    }
    return true;
  }

  save() {
    const canvases = [...this.frame.querySelectorAll("canvas")].slice(0, 4);
    const whole = document.createElement("canvas");
    whole.width = canvases[0].width;
    whole.height = canvases[0].height;
    const context = whole.getContext("2d");
    context.fillStyle = rgb("var(--surface)");
    context.fillRect(0, 0, whole.width, whole.height);
    // What WebGL drew is gone once it is on the screen, so it is drawn once more first.
    this.sigma.refresh({ skipIndexation: true, schedule: false });
    for (const canvas of canvases) context.drawImage(canvas, 0, 0);
    const link = document.createElement("a");
    link.href = whole.toDataURL("image/png");
    link.download = "graph.png";
    link.click();
    announce("The picture is saved.");
  }
}

/** @param {string} address of a script */
function load(address) {
  if (document.querySelector(`script[src="${address}"]`)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", resolve);
    script.addEventListener("error", reject);
    document.head.append(script);
  });
}

async function start(frame) {
  const told = frame.querySelector("[data-told]");
  const probe = document.createElement("canvas");
  if (!probe.getContext("webgl2") && !probe.getContext("webgl")) {
    told.textContent = "This browser has no WebGL; the table of tasks says the same.";
    return null;
  }
  const [response] = await Promise.all([
    fetch(frame.dataset.wholeGraph).catch(() => null),
    // Only now: without WebGL they would fail as they load.
    ...frame.dataset.libraries.split(" ").map(load),
  ]);
  if (!response?.ok) {
    told.textContent = "The tasks could not be read; reload the page, or use the table of tasks.";
    return null;
  }
  const data = await response.json();
  return new WholeGraph(frame, data);
}

async function main() {
  const frame = document.querySelector("[data-whole-graph]");
  if (!(frame instanceof HTMLElement)) return;
  let drawn = await start(frame);
  if (!drawn) return;
  setInterval(async () => {
    if (document.hidden || !drawn) return;
    const same = await drawn.follow().catch(() => true);
    if (same) return;
    drawn.sigma.kill();
    drawn = await start(frame);
  }, EVERY);
}

void main();
