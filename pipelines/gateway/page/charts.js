// Charts as SVG. Each is drawn for the width that it has, and again when that changes, so that text keeps its size.

import { make, words } from "./dom.js";
import { buttonsOf } from "./picture.js";

const NS = "http://www.w3.org/2000/svg";
const LEFT = 56;
const RIGHT = 14;
const TOP = 26;
const BOTTOM = 42;
const HEIGHT = 250;

function svg(tag, attributes = {}, text = null) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

/** Return a figure whose picture is drawn by draw(root, width), which returns the height. */
function figure(title, description, draw) {
  const picture = svg("svg", { role: "img", "aria-label": `${title}: ${description}` });
  const box = make("figure", {}, make("figcaption", {}, title), picture, buttonsOf(picture, title));
  let last = 0;
  new ResizeObserver(() => {
    const width = Math.floor(box.clientWidth);
    if (width < 40 || width === last) return;
    last = width;
    picture.replaceChildren();
    const height = draw(picture, width);
    picture.setAttribute("width", width);
    picture.setAttribute("height", height);
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }).observe(box);
  return box;
}

/** Return about `wanted` round numbers from low to high. */
export function ticks(low, high, wanted = 5) {
  if (!(high > low)) return [low];
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const size = raw / power;
  const step = power * (size < 1.5 ? 1 : size < 3.5 ? 2 : size < 7.5 ? 5 : 10);
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) {
    found.push(Number((index * step).toPrecision(12)));
  }
  return found;
}

const pen = document.createElement("canvas").getContext("2d");

/** Return the width of a text as the charts show it; bold, so that all texts have room. */
function widthOf(text) {
  pen.font = `bold 13px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

/** Return a text that is at most so wide, its end cut off where it must be. */
function fitted(text, width) {
  if (widthOf(text) <= width) return text;
  let length = text.length - 1;
  while (length > 1 && widthOf(`${text.slice(0, length)}…`) > width) length -= 1;
  return `${text.slice(0, length)}…`;
}

/** Return horizontal bars of {label, value, note, strong}; the scale holds 0, `least` and `most`. */
export function barsOf(title, items, { least = 0, most = 0, format = words } = {}) {
  const low = Math.min(0, least, ...items.map((item) => item.value));
  const high = Math.max(0, most, ...items.map((item) => item.value)) || (low < 0 ? 0 : 1);
  const description = items.map((item) => `${item.label} ${format(item.value)}`).join(", ");
  return figure(title, description, (root, width) => {
    const longest = Math.max(...items.map((item) => widthOf(item.label))) + 10;
    const values = Math.max(...items.map((item) => widthOf(format(item.value)))) + 10;
    const start = Math.min(longest, width * 0.42);
    const scale = (value) => start + ((value - low) / (high - low)) * (width - start - values - 2);
    items.forEach((item, index) => {
      const y = index * 28;
      const [from, to] = [scale(Math.min(0, item.value)), scale(Math.max(0, item.value))];
      const label = svg("text", { x: start - 8, y: y + 17, "text-anchor": "end" }, fitted(item.label, start - 8));
      const bar = (x, end, kind) => svg("rect", { x, y: y + 4, width: Math.max(1, end - x), height: 18, class: kind });
      const value = bar(from, to, item.strong ? "bar strong" : "bar");
      const told = [item.label, format(item.value), item.note].filter(Boolean).join(", ");
      for (const part of [label, value]) part.append(svg("title", {}, told));
      root.append(
        bar(scale(low), scale(high), "track"),
        value,
        label,
        svg("text", { x: scale(high) + 8, y: y + 17, class: item.strong ? "strong" : "" }, format(item.value)),
      );
    });
    root.append(svg("line", { x1: scale(0), x2: scale(0), y1: 2, y2: items.length * 28 - 4, class: "axis" }));
    return items.length * 28;
  });
}

const number = (value) => words(value, 4);

/** Return the ticks of times in milliseconds, and how they are written: days, else hours, else minutes, in UTC. */
function moments(low, high) {
  const unit = [86_400_000, 3_600_000, 60_000].find((size) => high - low > 2 * size) ?? 1000;
  const [from, length] = unit === 86_400_000 ? [0, 10] : [11, unit === 1000 ? 8 : 5];
  const text = (value) => new Date(value).toISOString().slice(from, from + length);
  return [(wanted) => ticks(low / unit, high / unit, wanted).filter(Number.isInteger).map((tick) => tick * unit), text];
}

/** Draw both axes with their labels; return the scales. */
function axes(root, width, x, y) {
  const span = ([low, high]) => (high > low ? [low, high] : [low - 0.5, low + 0.5]);
  const [[xLow, xHigh], [yLow, yHigh]] = [span(x.range), span(y.range)];
  const sx = (value) => LEFT + ((value - xLow) / (xHigh - xLow)) * (width - LEFT - RIGHT);
  const sy = (value) => HEIGHT - BOTTOM - ((value - yLow) / (yHigh - yLow)) * (HEIGHT - TOP - BOTTOM);
  const [xTicks, xText] = x.time ? moments(xLow, xHigh) : [(wanted) => ticks(xLow, xHigh, wanted), number];
  for (const tick of ticks(yLow, yHigh, 4)) {
    root.append(
      svg("line", { x1: LEFT, x2: width - RIGHT, y1: sy(tick), y2: sy(tick), class: "grid" }),
      svg("text", { x: LEFT - 7, y: sy(tick) + 4, "text-anchor": "end" }, fitted(number(tick), LEFT - 4)),
    );
  }
  const longest = Math.max(0, ...xTicks(5).map((tick) => widthOf(xText(tick)))) + 16;
  for (const tick of xTicks(Math.max(1, Math.min(6, Math.floor((width - LEFT) / longest) - 1)))) {
    const text = xText(tick);
    const at = Math.min(sx(tick), width - widthOf(text) / 2);
    root.append(
      svg("line", { x1: sx(tick), x2: sx(tick), y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 5, class: "axis" }),
      svg("text", { x: at, y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, text),
    );
  }
  root.append(
    svg("line", { x1: LEFT, x2: width - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM, class: "axis" }),
    svg("text", { x: 0, y: 12, class: "name" }, fitted(y.name, width)),
    svg("text", { x: width - RIGHT, y: HEIGHT - 4, "text-anchor": "end", class: "name" }, fitted(x.name, width - LEFT)),
  );
  return [sx, sy];
}

const rangeOf = (values) =>
  values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

/** Draw the axes of points [x, y]; return the scales. */
function axesOf(root, width, points, x, y) {
  const [across, up] = [0, 1].map((index) => rangeOf(points.map((point) => point[index])));
  return axes(root, width, { range: across, ...x }, { ...y, range: y.range ?? up });
}

/** Return a histogram of numbers. */
export function histogramOf(title, values, name) {
  const [least, most] = rangeOf(values);
  const edges = most > least ? ticks(least, most, 20) : [least];
  const step = edges.length > 1 ? edges[1] - edges[0] : 1;
  const low = edges[0] > least ? edges[0] - step : edges[0];
  const bins = Math.max(1, Math.ceil((most - low) / step - 1e-9));
  const counts = new Array(bins).fill(0);
  for (const value of values) counts[Math.min(bins - 1, Math.max(0, Math.floor((value - low) / step + 1e-9)))] += 1;
  const steps = ticks(0, Math.max(...counts), 4);
  const highest = steps.at(-1) < Math.max(...counts) ? steps.at(-1) + steps[1] : steps.at(-1);
  return figure(title, `${values.length} values from ${words(least)} to ${words(most)}`, (root, width) => {
    const x = { name, range: [low, low + bins * step] };
    const [sx, sy] = axes(root, width, x, { name: "rows", range: [0, highest] });
    counts.forEach((rows, index) => {
      const [from, to] = [sx(low + index * step), sx(low + (index + 1) * step)];
      const box = { x: from + 0.5, y: sy(rows), width: Math.max(1, to - from - 1), height: sy(0) - sy(rows) };
      const bar = svg("rect", { ...box, class: "bar" });
      const [least, most] = [low + index * step, low + (index + 1) * step].map((edge) => words(edge, 4));
      bar.append(svg("title", {}, `${least} to ${most}: ${rows}`));
      root.append(bar);
    });
    return HEIGHT;
  });
}

/** Return a line through points [x, y], in the order of x. */
export function lineOf(title, points, x, y) {
  return figure(title, `${points.length} points of ${y.name} over ${x.name}`, (root, width) => {
    const [sx, sy] = axesOf(root, width, points, x, y);
    const corners = points.map((point) => `${sx(point[0]).toFixed(1)},${sy(point[1]).toFixed(1)}`);
    root.append(svg("polyline", { points: corners.join(" "), class: "line" }));
    return HEIGHT;
  });
}

/** Return points [x, y]. */
export function scatterOf(title, points, x, y) {
  return figure(title, `${points.length} points of ${y.name} against ${x.name}`, (root, width) => {
    const [sx, sy] = axesOf(root, width, points, x, y);
    for (const [px, py] of points) {
      root.append(svg("circle", { cx: sx(px).toFixed(1), cy: sy(py).toFixed(1), r: 2.6, class: "point" }));
    }
    return HEIGHT;
  });
}
