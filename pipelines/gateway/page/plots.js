// The plots of a file's predictions, and the choice of what they show.

import { barsOf, histogramOf, lineOf, scatterOf } from "./charts.js";
import { fill, make, words } from "./dom.js";

const MOST_BARS = 15;
const MOST_POINTS = 2000;
const LINE_POINTS = 200;
const NUMERIC = 0.8;

const MOST_LEVELS = 200;

const ROWS = "(rows)";
const NONE = "(none)";

/** Return the plots; the value and the columns are chosen above them. */
export function plotsOf(file, facts, found) {
  const box = make("div", { class: "plots" });
  const values = Object.keys(found.outputs).filter((name) => found.outputs[name].some(isNumber));
  const used = new Set(facts.columns.map((column) => column.name));
  const numbers = readable(file, numberOf).sort((a, b) => used.has(b.name) - used.has(a.name));
  const moments = readable(file, momentOf).filter((column) => !numbers.some(({ name }) => name === column.name));
  const groups = levelled(file, [...moments, ...numbers]);
  const value = choice("plot-value", "Value", values);
  const over = choice("plot-over", "Line over", [ROWS, ...[...moments, ...numbers].map(({ name }) => name)]);
  const against = choice("plot-against", "Scatter against", numbers.map(({ name }) => name));
  const by = choice("plot-by", "Bars by", groups.length > 0 ? [NONE, ...groups.map(({ name }) => name)] : []);
  const draw = () => {
    const y = axisOf(value.select.value, facts);
    const drawn = found.outputs[value.select.value];
    const column = numbers.find(({ name }) => name === against.select.value);
    fill(
      box,
      labels(found.outputs.prediction),
      drawn ? histogramOf(`Spread of the ${y.name}`, drawn.filter(isNumber), y.name) : null,
      drawn ? line(drawn, over.select.value, numbers, moments, y) : null,
      drawn && column ? scatter(drawn, column, y) : null,
      drawn ? meansBy(drawn, groups.find(({ name }) => name === by.select.value), y) : null,
    );
  };
  const chosen = [value, over, against, by].filter(({ select }) => select.options.length > 0);
  for (const { select } of chosen) select.addEventListener("change", draw);
  draw();
  const choices = values.length > 0 ? make("div", { class: "choices" }, chosen.map((each) => each.box)) : null;
  return make("section", { "aria-label": "Plots" }, choices, box);
}

function choice(id, label, names) {
  const select = make("select", { id }, names.map((name) => make("option", { value: name }, name)));
  return { select, box: make("div", { class: "field" }, make("label", { for: id }, label), select) };
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
const isNumber = (value) => typeof value === "number";

function axisOf(name, facts) {
  if (!name.startsWith("probability")) return { name: name.replaceAll("_", " ") };
  const label = name === "probability" ? facts.positive ?? "the prediction" : name.slice("probability_".length);
  return { name: `probability of ${label}`, range: [0, 1] };
}

/** Return the columns most of whose cells can be read, with what was read: null for the other cells. */
function readable(file, read) {
  return file.header
    .map((name, index) => {
      const cells = file.rows.map((row) => read(row[index]));
      const given = file.rows.reduce((sum, row) => sum + (row[index].trim() !== ""), 0);
      const good = cells.reduce((sum, cell) => sum + (cell !== null), 0);
      return { name, cells, usable: good > 0 && good >= NUMERIC * given };
    })
    .filter((column) => column.usable);
}

function numberOf(cell) {
  const number = Number(cell);
  return cell.trim() === "" || !Number.isFinite(number) ? null : number;
}

function momentOf(cell) {
  const moment = /^\s*\d{4}-\d\d-\d\d/.test(cell) ? Date.parse(cell.trim()) : NaN;
  return Number.isFinite(moment) ? moment : null;
}

/** Return the columns of few texts, which are neither numbers nor moments. */
function levelled(file, others) {
  const taken = new Set(others.map(({ name }) => name));
  return file.header
    .map((name, index) => ({ name, index, levels: new Set(file.rows.map((row) => row[index].trim())).size }))
    .filter(({ name, levels }) => !taken.has(name) && levels > 1 && levels <= Math.min(MOST_LEVELS, file.rows.length / 2))
    .map(({ name, index }) => ({ name, cells: file.rows.map((row) => row[index].trim()) }));
}

/** Return bars of the mean value by the texts of a column, the most frequent first; null without a column. */
function meansBy(values, column, y) {
  if (!column) return null;
  const sums = new Map();
  values.forEach((value, row) => {
    if (!isNumber(value)) return;
    const [sum, rows] = sums.get(column.cells[row]) ?? [0, 0];
    sums.set(column.cells[row], [sum + value, rows + 1]);
  });
  const items = [...sums]
    .sort((one, other) => other[1][1] - one[1][1])
    .map(([label, [sum, rows]]) => ({ label: label || "(empty)", value: sum / rows, note: `${rows} rows` }));
  if (items.length === 0) return null;
  const note = items.length > MOST_BARS ? `, the ${MOST_BARS} most frequent` : "";
  const scale = y.range ? { least: y.range[0], most: y.range[1] } : {};
  return barsOf(`Mean ${y.name} by ${column.name}${note}`, items.slice(0, MOST_BARS), scale);
}

function labels(predictions) {
  if (!predictions || predictions.every((value) => value === undefined || isNumber(value))) return null;
  const counts = new Map();
  for (const label of predictions) {
    if (label !== undefined) counts.set(String(label), (counts.get(String(label)) ?? 0) + 1);
  }
  const items = [...counts].map(([label, value]) => ({ label, value })).sort((a, b) => b.value - a.value);
  const rest = items.slice(MOST_BARS);
  const others = { label: `${rest.length} others`, value: rest.reduce((sum, item) => sum + item.value, 0) };
  return barsOf("Rows by prediction", rest.length > 1 ? [...items.slice(0, MOST_BARS), others] : items);
}

function line(values, over, numbers, moments, y) {
  const moment = moments.find(({ name }) => name === over);
  const column = moment ?? numbers.find(({ name }) => name === over);
  const points = [];
  values.forEach((value, row) => {
    const x = column ? column.cells[row] : row + 1;
    if (isNumber(value) && x !== null) points.push([x, value]);
  });
  if (points.length === 0) return null;
  points.sort((a, b) => a[0] - b[0]);
  const size = Math.ceil(points.length / LINE_POINTS);
  const shown = size > 1 ? means(points, size) : points;
  const note = size > 1 ? `, means of ${size} rows each` : "";
  const x = { name: column ? column.name : "row", time: moment !== undefined };
  return lineOf(`${capital(y.name)} over ${column ? column.name : "the rows"}${note}`, shown, x, y);
}

function means(points, size) {
  const found = [];
  for (let start = 0; start < points.length; start += size) {
    const part = points.slice(start, start + size);
    found.push([0, 1].map((axis) => part.reduce((sum, point) => sum + point[axis], 0) / part.length));
  }
  return found;
}

function scatter(values, column, y) {
  const points = [];
  values.forEach((value, row) => {
    if (isNumber(value) && column.cells[row] !== null) points.push([column.cells[row], value]);
  });
  if (points.length === 0) return null;
  const step = Math.ceil(points.length / MOST_POINTS);
  const note = step > 1 ? `, one row of ${step}` : "";
  const shown = points.filter((_, index) => index % step === 0);
  return scatterOf(`${capital(y.name)} against ${column.name}${note}`, shown, { name: column.name }, y);
}
