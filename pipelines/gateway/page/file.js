// The panel of a file: read it, predict its rows, show them, hand them back.

import { predictRows } from "./batch.js";
import { CsvError, decode, lineOf, parse } from "./csv.js";
import { byId, count, fill, make, showError, table, words } from "./dom.js";
import { warningText } from "./form.js";
import { harmless, isFormula } from "./picture.js";
import { plotsOf } from "./plots.js";

const MOST_BYTES = 64 << 20;
const SHOWN_ROWS = 20;
const SHOWN_REFUSED = 500;

/** Reads and predicts files for the model that was chosen last. */
export class FilePanel {
  #facts = null;
  #file = null;
  #cancel = null;
  #predict;

  /** `predict(model, body, signal)` asks for the rows of a body. */
  constructor(predict) {
    this.#predict = predict;
    byId("file").addEventListener("click", (event) => (event.target.value = ""));  // the same name may be chosen again
    byId("file").addEventListener("change", () => this.#read());
    byId("upload").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run();
    });
    byId("cancel").addEventListener("click", () => this.#cancel?.abort());
  }

  /** Take the facts of a model; what was shown of another one goes. */
  use(facts) {
    this.#cancel?.abort();
    this.#facts = facts;
    const needed = facts.columns.filter((column) => !column.optional).map((column) => column.name);
    byId("file-note").textContent = `Needed columns: ${needed.join(", ")}. All others pass through to the download.`;
    this.#read();
  }

  async #read() {
    this.#cancel?.abort();
    this.#file = null;
    byId("start").disabled = true;
    byId("progress").hidden = true;
    const [state, results] = [byId("file-state"), byId("file-results")];
    state.replaceChildren();
    results.replaceChildren();
    const [given] = byId("file").files;
    if (!given) return;
    const notes = [];
    try {
      if (given.size > MOST_BYTES) throw new CsvError("the file is larger than 64 MB; use aimass predict for it");
      const file = parse(decode(await given.arrayBuffer(), notes));
      this.#columns(file);
      if (given !== byId("file").files[0]) return;
      this.#file = { ...file, name: given.name, notes };
    } catch (error) {
      showError(state, error instanceof CsvError ? error : new CsvError(`the file cannot be read: ${error.message}`));
      return;
    }
    const { rows, bad, header } = this.#file;
    fill(
      state,
      make("p", {}, `${count(rows.length, "row")}, ${count(header.length, "column")}`),
      notes.map((note) => make("p", { class: "warning" }, note)),
      refusals(bad),
    );
    byId("start").disabled = rows.length === 0;
  }

  /** Return what is sent: the columns that the model needs and the key, by their position in the file. */
  #columns({ header }) {
    const facts = this.#facts;
    const needed = facts.columns.filter((column) => !column.optional).map((column) => column.name);
    const lacks = needed.filter((name) => !header.includes(name));
    if (lacks.length > 0) {
      throw new CsvError(`the file lacks the columns ${lacks.join(", ")}; its header has ${header.join(", ")}`);
    }
    const names = [...new Set([...facts.columns.map((column) => column.name), ...facts.key])];
    const twice = names.filter((name) => header.indexOf(name) !== header.lastIndexOf(name));
    if (twice.length > 0) throw new CsvError(`columns that stand twice in the header: ${twice.join(", ")}`);
    return names.filter((name) => header.includes(name)).map((name) => ({ name, index: header.indexOf(name) }));
  }

  async #run() {
    const [file, facts] = [this.#file, this.#facts];
    if (!file || this.#cancel) return;
    const [state, bar, note] = [byId("file-state"), byId("bar"), byId("progress-note")];
    const cancel = (this.#cancel = new AbortController());
    const found = { outputs: {}, warnings: [], refused: new Map(), versions: new Set(), done: 0 };
    const report = (done, waiting) => {
      bar.value = done / file.rows.length;
      const rows = `${done.toLocaleString("en")} of ${count(file.rows.length, "row")}`;
      note.textContent = waiting === "" ? rows : `${rows}; ${waiting}`;
    };
    byId("start").disabled = true;
    byId("cancel").hidden = byId("progress").hidden = false;
    byId("file-results").replaceChildren();
    state.replaceChildren();
    report(0, "");
    let fault = null;
    try {
      const send = (body) => this.#predict(facts.model, body, cancel.signal);
      await predictRows(file.rows, this.#columns(file), found, { send, report, signal: cancel.signal });
    } catch (error) {
      fault = error;
    } finally {
      this.#cancel = null;
      byId("cancel").hidden = true;
    }
    if (facts !== this.#facts || file !== this.#file) return;  // another model or file was chosen meanwhile
    byId("start").disabled = false;
    if (fault && fault.name !== "AbortError") showError(state, fault);
    const end = !fault ? "" : fault.name === "AbortError" ? "cancelled: " : "stopped: ";
    note.textContent = `${end}${found.done.toLocaleString("en")} of ${count(file.rows.length, "row")}`;
    if (found.done > 0) this.#show(file, facts, found);
  }

  #show(file, facts, found) {
    const refused = [...found.refused].map(([row, reason]) => ({ line: file.lines[row], reason }));
    fill(
      byId("file-results"),
      make("h2", {}, "Predictions"),
      make("p", { class: "hint" }, `by version ${[...found.versions].join(" and ") || "–"} of ${facts.model}`),
      make("div", { class: "buttons" }, download(file, found)),
      refusals([...file.bad, ...refused].sort((a, b) => a.line - b.line)),
      warned(facts, found.warnings),
      head(file, facts, found),
      plotsOf(file, facts, found),
    );
  }
}

function refusals(bad) {
  if (bad.length === 0) return null;
  const lines = bad.slice(0, SHOWN_REFUSED).map(({ line, reason }) => make("li", {}, `line ${line}: ${reason}`));
  if (bad.length > SHOWN_REFUSED) lines.push(make("li", {}, `and ${bad.length - SHOWN_REFUSED} more`));
  return make(
    "div",
    { class: "error", id: "refused" },
    make("strong", {}, `${count(bad.length, "row")} without a prediction`),
    make("ul", { class: "long", tabindex: "0" }, lines),
  );
}

function warned(facts, warnings) {
  const counts = new Map();
  for (const { column, kind } of warnings) {
    const key = JSON.stringify([column, kind]);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  if (counts.size === 0) return null;
  const lines = [...counts].map(([key, number]) => {
    const [name, kind] = JSON.parse(key);
    const column = facts.columns.find((each) => each.name === name) ?? { kind: "value", low: null, high: null };
    return make("li", {}, `${name}: ${count(number, "cell")}, ${warningText(kind, column)}`);
  });
  const summary = make("summary", {}, count(warnings.length, "warning"));
  return make("details", { class: "warning", open: counts.size <= 6 }, summary, make("ul", {}, lines));
}

function head(file, facts, found) {
  const outputs = Object.keys(found.outputs);
  const isKey = (index) => facts.key.includes(file.header[index]);
  const keys = [...file.header.keys()].filter(isKey);
  const others = [...file.header.keys()].filter((index) => !isKey(index));
  const rows = file.rows.slice(0, SHOWN_ROWS).map((cells, row) => [
    ...keys.map((index) => words(cells[index])),
    ...outputs.map((name) => words(found.outputs[name][row], 4)),
    ...others.map((index) => words(cells[index])),
  ]);
  const names = [...keys.map((index) => file.header[index]), ...outputs, ...others.map((index) => file.header[index])];
  return table(`The first ${count(rows.length, "row")}`, names, rows);
}

/** Return a link to the file with the predictions behind each row's own cells, and what was changed in these. */
function download(file, found) {
  const byRow = new Map();
  for (const { row, column, kind } of found.warnings) byRow.set(row, [...(byRow.get(row) ?? []), `${column}: ${kind}`]);
  const added = Object.entries(found.outputs).map(([name, values]) => [name, (row) => textOf(values[row])]);
  if (byRow.size > 0) added.push(["warnings", (row) => (byRow.get(row) ?? []).join("; ")]);
  if (found.refused.size > 0) added.push(["refused", (row) => found.refused.get(row) ?? ""]);
  const names = added.map(([name]) => free(name, file.header));
  let formulas = 0;
  const write = (cells) => {
    formulas += cells.filter(isFormula).length;
    return lineOf(cells.map(harmless), file.separator);
  };
  const lines = [write([...file.header, ...names])];
  file.rows.forEach((cells, row) => lines.push(write([...cells, ...added.map(([, text]) => text(row))])));
  const address = URL.createObjectURL(new Blob(lines, { type: "text/csv" }));
  const name = `${file.name.replace(/\.[^.]*$/, "")}-predictions.csv`;
  const guarded = `${count(formulas, "cell")} that a spreadsheet would run as a formula have an apostrophe in front`;
  return [
    make("a", { id: "download", class: "button", href: address, download: name }, "Download CSV"),
    formulas > 0 ? make("p", { class: "hint", id: "guarded" }, guarded) : null,
  ];
}

const textOf = (value) => (value === undefined || value === null ? "" : String(value));

function free(name, header) {
  let found = name;
  for (let number = 1; header.includes(found); number += 1) found = `${name}.${number}`;
  return found;
}
