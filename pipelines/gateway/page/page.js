// The page: a token, a model, one row or a file.

import * as api from "./api.js";
import { byId, count, make, showError } from "./dom.js";
import { FilePanel } from "./file.js";
import { RowForm } from "./form.js";
import { showExplanation, showPrediction } from "./row.js";

const files = new FilePanel(api.predict);
let facts = null;
let form = null;
let asking = new AbortController();

/** List the models that the token may use. */
async function enter() {
  const [error, work] = [byId("access-error"), byId("work")];
  error.replaceChildren();
  try {
    const models = await api.models();
    if (models.length === 0) {
      const what = "this token is for no model that is served";
      throw new api.ApiError(404, { what, cure: "aimass models lists them" });
    }
    const before = byId("model").value;
    byId("model").replaceChildren(...models.map((each) => make("option", { value: each.name }, named(each))));
    if (models.some((each) => each.name === before)) byId("model").value = before;
    byId("token").value = "";
    byId("token").placeholder = "in use";
    byId("forget").hidden = work.hidden = false;
    await choose();
  } catch (fault) {
    if ([401, 403, 404].includes(fault.status)) leave();  // else the gateway may be away for a moment
    showError(error, fault);
    byId("token").focus();
  }
}

const named = (model) => (model.ready ? model.name : `${model.name} (not ready)`);

function leave() {
  api.token.forget();
  byId("token").placeholder = "";
  byId("forget").hidden = byId("work").hidden = true;
}

/** Make the form of the model that is chosen. */
async function choose() {
  asking.abort();
  const { signal } = (asking = new AbortController());
  const [error, panels] = [byId("model-error"), byId("panels")];
  error.replaceChildren();
  byId("facts").textContent = "";
  panels.hidden = true;
  try {
    facts = await api.metadata(byId("model").value, signal);
  } catch (fault) {
    if (fault.name !== "AbortError") showError(error, fault);
    return;
  }
  const classes = facts.classes.length > 0 ? `, ${facts.classes.length} classes` : "";
  const columns = count(facts.columns.length, "column");
  byId("facts").textContent = `${facts.task}${classes}, version ${facts.version}, ${columns}`;
  byId("curl").textContent = facts.curl;
  form = new RowForm(byId("fields"), facts);
  forgetResults();
  files.use(facts);
  panels.hidden = false;
}

function forgetResults() {
  byId("results").classList.remove("stale");
  byId("prediction").replaceChildren(make("p", { class: "hint" }, "Nothing is predicted yet."));
  byId("explanation").replaceChildren();
}

/** Send the row of the form; show what comes back, or the error. Returns whether it was answered. */
async function send(call, box, show) {
  asking.abort();
  const { signal } = (asking = new AbortController());
  byId("results").setAttribute("aria-busy", "true");
  try {
    const content = await call(facts.model, JSON.stringify({ instances: [form.row()] }), signal);
    byId("results").classList.remove("stale");
    show(content);
    return true;
  } catch (fault) {
    if (fault.name === "AbortError") return false;
    byId("results").classList.remove("stale");
    showError(box, fault);
    return false;
  } finally {
    if (!signal.aborted) byId("results").removeAttribute("aria-busy");
  }
}

async function predict() {
  byId("explanation").replaceChildren();
  return send(api.predict, byId("prediction"), (content) =>
    showPrediction(byId("prediction"), facts, content, form.warn(content.warnings ?? [])));
}

async function explain() {
  if (!(await predict())) return;
  await send(api.explain, byId("explanation"), (content) => showExplanation(byId("explanation"), facts, content));
}

function show(tab) {
  for (const each of document.querySelectorAll("[role=tab]")) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    byId(each.getAttribute("aria-controls")).hidden = !chosen;
  }
}

byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("token").value.trim();
  if (text !== "") api.token.set(text);
  if (api.token.get() !== "") enter();
});
byId("forget").addEventListener("click", () => {
  leave();
  byId("access-error").replaceChildren();
  byId("token").focus();
});
byId("model").addEventListener("change", choose);
byId("row").addEventListener("submit", (event) => {
  event.preventDefault();
  predict();
});
byId("row").addEventListener("input", () => byId("results").classList.add("stale"));
byId("explain").addEventListener("click", explain);
for (const [id, change] of [["fill", () => form.fill()], ["clear", () => form.clear()]]) {
  byId(id).addEventListener("click", () => {
    change();
    forgetResults();
  });
}
for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => show(tab));
  tab.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = [...document.querySelectorAll("[role=tab]")].find((each) => each !== tab);
    show(other);
    other.focus();
  });
}
if (api.token.get() !== "") enter();
