// A form made from a model's schema, and the warnings beside its fields.

import { make, words } from "./dom.js";

const SELECT_LEVELS = 12;
const DATE = /^\d{4}-\d\d-\d\d$/;

const KINDS = {
  unreadable: (column) => `cannot be read as a ${column.kind}; taken as missing`,
  unseen: () => "no training row had this category",
  out_of_range: (column) => `outside of the training rows: ${words(column.low)} to ${words(column.high)}`,
  missing: () => "no value",
};

/** Return a warning in words. */
export const warningText = (kind, column) => KINDS[kind]?.(column) ?? kind.replaceAll("_", " ");

const textOf = (value) =>
  value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);

/** The fields of one model. */
export class RowForm {
  constructor(box, facts) {
    this.facts = facts;
    this.fields = facts.columns.map((column, index) => this.#field(column, index));
    box.replaceChildren(...this.fields.map((field) => field.box));
    this.fill();
  }

  /** Fill in the example. */
  fill() {
    for (const field of this.fields) this.#put(field, textOf(this.facts.example[field.column.name]));
  }

  clear() {
    for (const field of this.fields) this.#put(field, "");
  }

  /** Return the row: texts as they stand in the fields, null for an empty one; empty optional columns are left out. */
  row() {
    const row = {};
    for (const { column, input } of this.fields) {
      const example = this.facts.example[column.name];
      if (input.value === "") {
        if (!column.optional) row[column.name] = null;
      } else {
        const given = column.nested ? nested(input.value) : input.value;
        row[column.name] = input.value === textOf(example) ? example : given;
      }
    }
    return row;
  }

  /** Show the warnings of a response; return those that no field is for. */
  warn(warnings) {
    for (const field of this.fields) this.#warn(field, []);
    const others = [];
    for (const warning of warnings) {
      const field = this.fields.find(({ column }) => column.name === warning.column);
      if (field) this.#warn(field, [...field.kinds, warning.kind]);
      else others.push(warning);
    }
    return others;
  }

  #field(column, index) {
    const id = `field-${index}`;
    const [input, list] = this.#input(column, id);
    input.setAttribute("aria-describedby", `${id}-hint ${id}-warning`);
    const warning = make("p", { id: `${id}-warning`, class: "warning", hidden: true });
    const hint = [column.kind];
    const { low, high } = column;
    if (low !== null && high !== null) hint.push(`${words(low)} to ${words(high)} in training`);
    if (column.kind === "date" && input.type === "text") hint.push(["ISO 8601", ...column.formats].join(" or "));
    if (column.optional) hint.push("optional");
    const box = make(
      "div",
      { class: "field" },
      make("label", { for: id }, column.name),
      input,
      list,
      make("p", { id: `${id}-hint`, class: "hint" }, hint.join(", ")),
      warning,
    );
    const field = { column, input, warning, box, kinds: [] };
    input.addEventListener("input", () => this.#warn(field, []));
    return field;
  }

  #input(column, id) {
    const levels = column.kind === "category" ? column.levels : null;
    if (levels && levels.length <= SELECT_LEVELS) {
      const select = make("select", { id }, make("option", { value: "" }, "(no value)"));
      select.append(...levels.map((level) => make("option", { value: level }, level)));
      return [select, null];
    }
    if (levels) {
      const options = levels.map((level) => make("option", { value: level }));
      const list = make("datalist", { id: `${id}-levels` }, options);
      return [make("input", { id, type: "text", list: list.id }), list];
    }
    const day = column.kind === "date" && DATE.test(this.facts.example[column.name] ?? "");
    const mode = column.kind === "number" ? "decimal" : null;
    return [make("input", { id, type: day ? "date" : "text", inputmode: mode, spellcheck: "false" }), null];
  }

  #put(field, text) {
    const { input } = field;
    if (input.tagName === "SELECT" && text !== "" && ![...input.options].some((option) => option.value === text)) {
      const same = [...input.options].find((option) => option.value === text.trim());
      if (!same) input.append(make("option", { value: text }, text));
      else text = same.value;
    }
    input.value = text;
    this.#warn(field, []);
  }

  #warn(field, kinds) {
    field.kinds = kinds;
    field.warning.textContent = kinds.map((kind) => warningText(kind, field.column)).join("; ");
    field.warning.hidden = kinds.length === 0;
    field.box.classList.toggle("warned", kinds.length > 0);
  }
}

function nested(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : text;
  } catch {
    return text;
  }
}
