// What is shown of one row: its prediction, and how it came about.

import { barsOf } from "./charts.js";
import { fill, make, percent, table, words } from "./dom.js";
import { warningText } from "./form.js";

const TOP = 12;

/** Show the response to one row. */
export function showPrediction(box, facts, content, otherWarnings) {
  const [found] = content.predictions;
  fill(
    box,
    make("h2", {}, "Prediction"),
    found.prediction === undefined
      ? null
      : make("p", { class: "big", id: "predicted" }, words(found.prediction, 8)),
    probabilities(facts, found),
    found.components ? barsOf("Components", coordinates(found.components), { format: words }) : null,
    otherWarnings.map(({ column, kind }) =>
      make("p", { class: "warning" }, `${column}: ${warningText(kind, { kind: "value", low: null, high: null })}`)),
    make("p", { class: "hint" }, `version ${content.model_version}, request ${content.request_id}`),
  );
}

const coordinates = (values) => values.map((value, index) => ({ label: `component ${index + 1}`, value }));

/** Return the probability of each class as bars, or null for a model without classes. */
function probabilities(facts, found) {
  let byClass = found.probabilities;
  if (!byClass && found.probability !== undefined && facts.classes.length === 2) {
    byClass = Object.fromEntries(
      facts.classes.map((name) => [name, name === facts.positive ? found.probability : 1 - found.probability]));
  }
  return byClass ? barsOf("Probabilities", ofClasses(byClass), { least: 0, most: 1, format: percent }) : null;
}

function ofClasses(byClass) {
  const items = Object.entries(byClass).map(([label, value]) => ({ label, value })).sort((a, b) => b.value - a.value);
  const rest = items.slice(TOP);
  if (rest.length < 2) return items;
  const others = rest.reduce((sum, item) => sum + item.value, 0);
  return [...items.slice(0, TOP), { label: `${rest.length} others`, value: others }];
}

/** Show the steps of an explanation: read as, features, members, their combination. */
export function showExplanation(box, facts, content) {
  const steps = content.explanation;
  fill(
    box,
    make("h2", {}, "Explanation"),
    members(facts, steps),
    combination(facts, steps),
    readAs(steps),
    table(
      "Features",
      ["feature", "value", "made from", "by"],
      steps.features.map(({ name, value, sources, steps: by }) => [
        name, words(value), sources.join(", "), by.join(", ") || "as it is",
      ]),
      new Set([1]),
    ),
  );
}

/** Return which class's probability is shown of each member: the positive one, else the predicted one. */
const shownClass = (facts, steps) => facts.positive ?? (facts.classes.length ? steps.answer.prediction : null);

const plain = (value) => (typeof value === "number" ? String(value) : words(value));

function readAs(steps) {
  const unreadable = new Set(steps.unreadable);
  const names = [...new Set([...Object.keys(steps.raw), ...Object.keys(steps.added), ...Object.keys(steps.clean)])];
  const rows = names.map((name) => [
    name,
    name in steps.raw ? plain(steps.raw[name]) : "(added)",
    unreadable.has(name) ? "unreadable, taken as missing" : plain(steps.clean[name] ?? steps.added[name]),
  ]);
  return table("Read as", ["column", "sent", "read as"], rows);
}

function members(facts, steps) {
  if (facts.task === "clustering") return null;  // the numbers of clusters have no size
  const name = shownClass(facts, steps);
  const number = (answer) => (typeof answer === "number" ? answer : name !== null && answer ? answer[name] : undefined);
  const items = steps.members.map((member) => ({
    label: `member ${member.place}: ${member.family}`,
    value: number(member.answer),
    note: member.weight === 0 ? "read by others alone" : null,
  }));
  const final = number(steps.calibration ? steps.calibration.answer : steps.combination.answer);
  if (final === undefined || items.some((item) => item.value === undefined)) return null;
  items.push({ label: steps.calibration ? "combined, calibrated" : "combined", value: final, strong: true });
  return name === null
    ? barsOf("Members' predictions", items, { format: words })
    : barsOf(`Members' probability of ${name}`, items, { least: 0, most: 1, format: percent });
}

function combination(facts, steps) {
  const lines = [`Combination (${steps.combination.kind.replaceAll("_", " ")}): ${steps.combination.formula}`];
  if (steps.calibration) lines.push(`Calibration: ${steps.calibration.kind}`);
  if (steps.threshold) lines.push(`${facts.positive} is predicted from ${percent(steps.threshold.value)} on`);
  return make("div", {}, lines.map((line) => make("p", { class: "hint" }, line)));
}
