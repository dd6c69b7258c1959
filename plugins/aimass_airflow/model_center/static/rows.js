// The tab Ask: a CSV file is predicted with the modules of the gateway's own page, through this center.

import { ApiError } from "./predictions/api.js";
import { byId, showError } from "./predictions/dom.js";
import { FilePanel } from "./predictions/file.js";

const address = byId("rows").dataset.address;

async function ask(path, body = null, signal = null) {
  const given = body === null ? {} : { method: "POST", body, headers: { "Content-Type": "application/json" } };
  let response;
  let content;
  try {
    response = await fetch(`${address}/${path}`, { ...given, signal, cache: "no-store" });
    content = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(response?.status ?? 0, { what: "the Model Center cannot be reached", cure: "load the page again" });
  }
  if (!response.ok) throw new ApiError(response.status, content.error ?? { what: content.detail });
  return content;
}

try {
  const facts = await ask("facts");
  new FilePanel((_model, body, signal) => ask("rows", body, signal)).use(facts);
  byId("rows-panel").hidden = false;
} catch (error) {
  showError(byId("rows-state"), error);
}
