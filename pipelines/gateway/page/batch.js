// Predicts many rows in requests that the gateway takes: limited in rows and bytes, patient with limits of the token,
// and exact about rows that are refused.

import { ApiError } from "./api.js";

const MOST_ROWS = 1000;
const MOST_BYTES = 900_000;
const MOST_REFUSED = 100;
const MOST_TRIES = 8;
const MOST_WAIT = 120;

const encoder = new TextEncoder();

/**
 * Predict rows of texts; an empty text is sent as null.
 *
 * `columns` are {name, index} of the cells to send; `send(body)` asks for one chunk; `report(done, waiting)` is told
 * how many rows are done. What is found is put into `found`, which is whole at any moment: `outputs` {name: [value per
 * row, undefined where there is none]}, `warnings` [{row, column, kind}], `refused` Map of row to reason, `versions`,
 * `done`.
 */
export async function predictRows(rows, columns, found, { send, report, signal }) {
  const waiting = [];
  let next = 0;
  while (waiting.length > 0 || next < rows.length) {
    signal.throwIfAborted();
    let start;
    let end;
    if (waiting.length > 0) {
      [start, end] = waiting.shift();
    } else {
      start = next;
      next = end = endOf(rows, columns, start);
    }
    try {
      const content = await patiently(() => send(bodyOf(rows, columns, start, end)), report, found, signal);
      keep(content, rows.length, start, end, found);
    } catch (error) {
      if (!(error instanceof ApiError) || ![400, 413, 422, 502, 504].includes(error.status)) throw error;
      if (end - start > 1) {
        const middle = (start + end) >> 1;
        waiting.unshift([start, middle], [middle, end]);
        continue;
      }
      found.refused.set(start, error.line());
      if (found.refused.size >= MOST_REFUSED) {
        const cure = "mend the file, or choose another model";
        throw new ApiError(400, { what: `${MOST_REFUSED} rows were refused`, cure });
      }
    }
    found.done += end - start;
    report(found.done, "");
  }
}

const cellText = (cell) => (cell === "" ? "null" : JSON.stringify(cell));

function endOf(rows, columns, start) {
  let bytes = columns.reduce((sum, { name }) => sum + encoder.encode(JSON.stringify(name)).length + 4, 16);
  let end = start;
  while (end < rows.length && end - start < MOST_ROWS) {
    for (const { index } of columns) bytes += encoder.encode(cellText(rows[end][index])).length + 1;
    if (bytes > MOST_BYTES && end > start) break;
    end += 1;
  }
  return end;
}

function bodyOf(rows, columns, start, end) {
  const part = rows.slice(start, end);
  const cells = (index) => part.map((row) => cellText(row[index])).join(",");
  return `{"inputs":{${columns.map(({ name, index }) => `${JSON.stringify(name)}:[${cells(index)}]`).join(",")}}}`;
}

/** Send; where the gateway says when to come back, or is away for a moment, wait and send again. */
async function patiently(send, report, found, signal) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await send();
    } catch (error) {
      const limited = error instanceof ApiError && error.status === 429;
      const away = error instanceof ApiError && [0, 503].includes(error.status) && tries < MOST_TRIES;
      const seconds = error.retryAfter ?? 2;
      if (!(limited || away) || seconds > MOST_WAIT) throw error;
      report(found.done, `${error.message}; again in ${seconds} s`);
      await pause(seconds * 1000, signal);
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Put the outputs of rows start to end into the columns of all rows. */
function keep(content, total, start, end, found) {
  const put = (name, value, row) => (found.outputs[name] ??= new Array(total))[row] = value;
  for (const [name, values] of Object.entries(content.outputs)) {
    if (Array.isArray(values)) {
      values.forEach((value, offset) => {
        if (Array.isArray(value)) value.forEach((each, index) => put(`component_${index + 1}`, each, start + offset));
        else put(name, value, start + offset);
      });
    } else {
      for (const [label, cells] of Object.entries(values)) {
        cells.forEach((value, offset) => put(`probability_${label}`, value, start + offset));
      }
    }
  }
  for (const { row, column, kind } of content.warnings ?? []) found.warnings.push({ row: start + row, column, kind });
  found.versions.add(content.model_version);
}
