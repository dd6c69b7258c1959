// The gateway's addresses. The token travels in a header alone and stays in this tab.

const TOKEN = "aimass.token";

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (text) => sessionStorage.setItem(TOKEN, text),
  forget: () => sessionStorage.removeItem(TOKEN),
};

/** An error of the gateway, or that it could not be asked (status 0). */
export class ApiError extends Error {
  constructor(status, facts, retryAfter = null) {
    super(facts.what || `the gateway returned ${status}`);
    this.status = status;
    this.retryAfter = retryAfter;
    const named = ["where", "seen", "expected"].filter((name) => facts[name]).map((name) => `${name}: ${facts[name]}`);
    this.details = [...(facts.faults ?? []), named.join("; "), facts.cure].filter(Boolean);
  }

  /** Return the error as one line. */
  line() {
    return [this.message, ...this.details].join("; ");
  }
}

/** Ask the gateway: GET without a body, else POST a JSON text. Throws ApiError, and AbortError if cancelled. */
export async function ask(path, body = null, signal = null) {
  const text = token.get();
  if (!/^[\x21-\x7e]+$/.test(text)) {
    throw new ApiError(401, { what: "this is no token", expected: "letters, digits and signs without spaces" });
  }
  const headers = { Authorization: `Bearer ${text}` };
  if (body !== null) headers["Content-Type"] = "application/json";
  let response;
  let content;
  try {
    response = await fetch(path, {
      method: body === null ? "GET" : "POST", headers, body, signal, cache: "no-store", credentials: "omit",
    });
    content = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const cure = "see whether it runs: aimass status";
    throw new ApiError(response?.status ?? 0, { what: "the gateway cannot be reached or did not return JSON", cure });
  }
  if (!response.ok) {
    const seconds = Number(response.headers.get("Retry-After") ?? NaN);
    throw new ApiError(response.status, content.error ?? {}, Number.isFinite(seconds) ? seconds : null);
  }
  return content;
}

const ofModel = (name) => `/v1/models/${encodeURIComponent(name)}`;

export const models = () => ask("/v1/models").then((content) => content.models);
export const metadata = (name, signal) => ask(`${ofModel(name)}/metadata`, null, signal);
export const predict = (name, body, signal) => ask(`${ofModel(name)}:predict`, body, signal);
export const explain = (name, body, signal) => ask(`${ofModel(name)}:explain`, body, signal);
