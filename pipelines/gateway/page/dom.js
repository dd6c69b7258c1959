// Elements, and numbers in words. Text is put in as text nodes alone: nothing that a model or a file holds becomes
// markup.

export const byId = (id) => document.getElementById(id);

/** Return a new element; children are elements or texts, and what is null is left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...there(children));
  return element;
}

const there = (children) => children.flat().filter((child) => child !== null && child !== undefined && child !== "");

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...there(children));
}

/** Return a table; its first row of texts is the head. */
export function table(caption, head, rows, numeric = new Set()) {
  const cell = (tag) => (text, index) => make(tag, { class: numeric.has(index) ? "number" : null }, text);
  return make(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make(
      "table",
      {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, head.map(cell("th")))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map(cell("td"))))),
    ),
  );
}

/** Return a value as a person reads it: numbers with at most `digits` significant digits, nothing as a dash. */
export function words(value, digits = 6) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "number") return typeof value === "object" ? JSON.stringify(value) : String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 10 ** (digits + 3) || size < 1e-4)) return value.toExponential(Math.min(digits, 4) - 1);
  const cut = Number.isInteger(value) ? {} : { maximumSignificantDigits: digits };
  return value.toLocaleString("en", { ...cut, useGrouping: "min2" });
}

/** Return a probability in per cent; near 0 and 1 with one digit more. */
export const percent = (value) => `${(100 * value).toFixed(value >= 0.01 && value <= 0.99 ? 1 : 2)} %`;

/** Return "1 row" or "1,000 rows". */
export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** Show an error in words: what is wrong, what was seen and expected, what helps. */
export function showError(box, error) {
  fill(
    box,
    make(
      "div",
      { class: "error" },
      make("strong", {}, error.message),
      (error.details ?? []).map((line) => make("p", {}, line)),
    ),
  );
}
