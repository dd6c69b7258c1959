"""The gateway as the Model Center asks it: for a user, with a token of an hour, and for its own figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from pipelines.errors import AimassError, SpecError
from pipelines.ledger import Ledger
from pipelines.settings import Settings

HOURS = 1.0
CALLER = "model-center:"
"""How the names of its tokens begin, in the list of who calls."""
QUANTILES = (0.5, 0.99)


class Gateway:
    """A client of the gateway."""

    def __init__(self, settings: Settings, ledger: Ledger, client: httpx.Client | None = None) -> None:
        self._settings, self._ledger = settings, ledger
        self._client = client or httpx.Client(base_url=settings.gateway_url, timeout=20.0, trust_env=False)
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def metadata(self, user: str, model: str) -> dict[str, Any]:
        """Return the columns of a model's requests, an example, and a call.

        Raises
        ------
        AimassError
            The gateway cannot be asked, or refuses.
        """
        return self._ask("GET", f"/v1/models/{quote(model, safe='')}/metadata", user)

    def predict(self, user: str, model: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the gateway's response to some rows."""
        return self._ask("POST", f"/v1/models/{quote(model, safe='')}:predict", user, {"instances": rows})

    def predict_columns(self, user: str, model: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the gateway's response to rows that are given column by column."""
        return self._ask("POST", f"/v1/models/{quote(model, safe='')}:predict", user, {"inputs": dict(inputs)})

    def explain(self, user: str, model: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the steps of one prediction."""
        return self._ask("POST", f"/v1/models/{quote(model, safe='')}:explain", user, {"instances": [dict(row)]})

    def live(self, model: str) -> dict[str, Any]:
        """Return requests, errors and response times of a model since the gateway started; empty if it is away."""
        from prometheus_client.parser import text_string_to_metric_families

        try:
            text = self._client.get("/metrics", timeout=3.0).raise_for_status().text
        except httpx.HTTPError:
            return {}
        buckets: dict[float, float] = {}
        found: dict[str, Any] = {"requests": 0.0, "errors": 0.0, "codes": {}}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.labels.get("model") != model:
                    continue
                if sample.name == "aimass_requests_total":
                    found["requests"] += sample.value
                    found["codes"][sample.labels["code"]] = sample.value
                elif sample.name == "aimass_errors_total":
                    found["errors"] += sample.value
                elif sample.name == "aimass_request_seconds_bucket":
                    buckets[float(sample.labels["le"])] = sample.value
        return {**found, **{f"p{share * 100:g}": quantile(buckets, share) for share in QUANTILES}}

    def _token(self, user: str) -> str:
        with self._lock:
            text, until = self._tokens.get(user, ("", 0.0))
            if time.monotonic() > until:
                text = self._ledger.issue_token(f"{CALLER}{user}"[:120], ["predict", "explain"], HOURS / 24)
                self._tokens[user] = text, time.monotonic() + HOURS * 1800
            return text

    def _ask(self, method: str, path: str, user: str, body: Any = None) -> dict[str, Any]:
        try:
            for _ in range(2):  # another process of Airflow may have made a token of this name since
                headers = {"Authorization": f"Bearer {self._token(user)}"}
                response = self._client.request(method, path, json=body, headers=headers)
                if response.status_code != 401:
                    break
                self._tokens.pop(user, None)
            content = response.json()
        except (httpx.HTTPError, ValueError):
            raise AimassError(
                "the gateway does not respond", where=self._settings.gateway_url, cure="aimass status tells why"
            ) from None
        if response.is_success:
            return dict(content)
        told = content.get("error") if isinstance(content, dict) else None
        facts = told if isinstance(told, dict) else {}
        kind = SpecError if response.status_code < 500 else AimassError
        named = {name: facts[name] for name in ("where", "seen", "expected", "cure", "faults") if facts.get(name)}
        raise kind(str(facts.get("what") or f"the gateway returned {response.status_code}"), **named)


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Return a quantile of a histogram in milliseconds, straight between the bounds of its bucket; None: no requests.

    Parameters
    ----------
    buckets
        Counts up to each bound in seconds, the last one infinity.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if not total:
        return None
    wanted, low, before = share * total, 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted:
            if bound == float("inf"):
                return low * 1000
            return (low + (bound - low) * (wanted - before) / ((count - before) or 1.0)) * 1000
        low, before = bound, count
    return low * 1000
