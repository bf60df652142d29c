/** Charts over time: `data-plot` names the element that holds the numbers as JSON. */

import { ink, onTheme } from "./drawing.js";
import { cookie, localZone } from "./times.js";

const INKS = ["--accent", "--ray", "--running-solid", "--canceled-solid"];
const HEIGHT = 200;
const plots = new WeakMap();

/** In the zone that local times are shown in, or UTC. @param {boolean} whole with the day */
function clock(whole) {
  const zone = cookie("times") === "utc" ? "UTC" : localZone();
  const day = whole ? { month: "2-digit", day: "2-digit", timeZoneName: "short" } : {};
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", ...day });
  return (seconds) => format.format(new Date(seconds * 1000));
}

/** @param {HTMLElement} frame */
function options(frame, series) {
  const lines = ink("--line");
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: ink("--text-2"), font, grid: { stroke: lines, width: 1 }, ticks: { stroke: lines, width: 1 } };
  return {
    width: Math.max(200, frame.clientWidth),
    height: HEIGHT,
    cursor: { drag: { x: true, y: false } },
    scales: { y: { range: [0, 100] } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map(clock(false)) }, { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => `${tick} %`) }],
    series: [
      { label: "Time", value: (_, time) => (time === null ? "–" : clock(true)(time)) },
      ...series.map((each, at) => ({
        label: each.name,
        stroke: ink(INKS[at % INKS.length]),
        width: 1.75,
        spanGaps: false,
        points: { show: false },
        value: (_, value) => (value === null ? "–" : `${value} %`),
      })),
    ],
  };
}

/** @param {HTMLElement} frame */
function draw(frame) {
  const source = document.getElementById(frame.dataset.plot ?? "");
  if (!source || !window.uPlot) return;
  const text = source.textContent ?? "";
  const known = plots.get(frame);
  const theme = document.documentElement.dataset.theme;
  if (known?.text === text && known.theme === theme && frame.contains(known.plot.root)) return;
  const { times, series } = JSON.parse(text);
  const data = [times, ...series.map((each) => each.values)];
  if (known && known.theme === theme && known.count === series.length && frame.contains(known.plot.root)) {
    known.plot.setData(data);
    known.text = text;
    return;
  }
  known?.plot.destroy();
  frame.replaceChildren();
  const plot = new window.uPlot(options(frame, series), data, frame);
  plots.set(frame, { plot, text, theme, count: series.length });
}

function drawAll() {
  for (const frame of document.querySelectorAll("[data-plot]")) draw(/** @type {HTMLElement} */ (frame));
}

document.addEventListener("htmx:after:swap", drawAll);
window.addEventListener("resize", () => {
  for (const frame of document.querySelectorAll("[data-plot]")) {
    plots.get(frame)?.plot.setSize({ width: Math.max(200, frame.clientWidth), height: HEIGHT });
  }
});
onTheme(drawAll);
drawAll();
