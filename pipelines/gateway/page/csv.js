// CSV as RFC 4180 has it, with any of four separators; written with the separator that was read.

import { count } from "./dom.js";

const SEPARATORS = [",", ";", "\t", "|"];

/** What keeps a file from being read. */
export class CsvError extends Error {}

/** Return the text of a file: UTF-8, else Windows-1252, which is said in `notes`. */
export function decode(bytes, notes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    notes.push("the file is not UTF-8 and was read as Windows-1252");
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** Return the separator that the first line has most of, outside of quotes. */
export function separatorOf(text) {
  const end = text.search(/[\r\n]/);
  const line = (end < 0 ? text : text.slice(0, end)).replace(/"[^"]*"/g, "");
  return SEPARATORS.reduce((best, each) => (line.split(each).length > line.split(best).length ? each : best));
}

/**
 * Return {separator, header, rows, lines, bad}: `lines` holds the line of the file that each row begins at; `bad`
 * {line, reason} of rows that do not have the header's number of cells. Blank lines are no rows.
 */
export function parse(text) {
  const separator = separatorOf(text);
  const [records, starts] = recordsOf(text, separator);
  if (records.length === 0) throw new CsvError("the file is empty; expected a header line and rows");
  const header = records[0].map((name) => name.trim());
  const result = { separator, header, rows: [], lines: [], bad: [] };
  for (let index = 1; index < records.length; index += 1) {
    const cells = records[index];
    while (cells.length > header.length && cells[cells.length - 1] === "") cells.pop();
    if (cells.length !== header.length) {
      const reason = `${count(cells.length, "cell")} where the header has ${header.length}; left out`;
      result.bad.push({ line: starts[index], reason });
    } else {
      result.rows.push(cells);
      result.lines.push(starts[index]);
    }
  }
  return result;
}

function recordsOf(text, separator) {
  const records = [];
  const starts = [];
  const stops = new RegExp(`[${separator === "\t" ? "\\t" : separator}\\r\\n]`, "g");
  let cells = [];
  let at = 0;
  let line = 1;
  let start = 1;
  const end = () => {
    if (cells.length > 1 || cells[0].trim() !== "") {
      records.push(cells);
      starts.push(start);
    }
    cells = [];
  };
  while (at < text.length) {
    if (cells.length === 0) start = line;
    let cell;
    if (text[at] === '"') {
      [cell, at] = quoted(text, at, line);
      line += cell.split("\n").length - 1;
    } else {
      cell = "";
    }
    stops.lastIndex = at;
    const stop = stops.exec(text)?.index ?? text.length;
    cells.push(cell + text.slice(at, stop));
    at = stop + 1;
    if (stop >= text.length || text[stop] === separator) {
      if (stop === text.length - 1) cells.push("");  // a separator is the last character of the file
      if (at >= text.length) end();
      continue;
    }
    if (text[stop] === "\r" && text[at] === "\n") at += 1;
    line += 1;
    end();
  }
  return [records, starts];
}

function quoted(text, open, line) {
  let cell = "";
  for (let at = open + 1; ; ) {
    const close = text.indexOf('"', at);
    if (close < 0) throw new CsvError(`a quote opens at line ${line} and is never closed`);
    cell += text.slice(at, close);
    if (text[close + 1] !== '"') return [cell, close + 1];
    cell += '"';
    at = close + 2;
  }
}

/** Return one line of CSV, with a line end. */
export function lineOf(cells, separator) {
  const text = (cell) =>
    cell.includes(separator) || /["\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  return `${cells.map(text).join(separator)}\n`;
}
