"""The page of a night as one HTML file: what came in, what was held back and why, what is learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.artifacts import Night
from pipelines.features.distributions import ENOUGH, compare, summary

EXAMPLES = 3
MOST_REASONS = 40
MOST_FEATURES = 1_000
MOST_LABELS = 12
MOVED, FAR = 0.1, 0.25
"""Population stability indices from which a column counts as drifted, and as strongly drifted."""


def gather(
    night: Night, told: Mapping[str, Mapping[str, Any]], folders: Mapping[str, Path], sides: Any = None
) -> dict[str, Any]:
    """Return the content of the page.

    Parameters
    ----------
    told
        By stage, its ``report.json``; an empty one leaves a gap.
    folders
        By stage, its artifact.
    sides
        What is compared, see :class:`pipelines.features.nightly_report.ComparedTables`; None: nothing.
    """
    clean, parts, checks = told["clean"], told["split"], told["validate"]
    compared = compare(sides.train, sides.tonight) if sides else []
    columns = sorted((summary(column) for column in compared), key=lambda column: -(column["psi"] or 0.0))
    return {
        "model": night.model.name,
        "night": night.night,
        "as_of": f"{night.as_of:%Y-%m-%d %H:%M} UTC",
        "target": night.model.target,
        "task": night.model.task,
        "owner": getattr(night.model, "owner", ""),
        "steps": steps(told),
        "rejected": _count(told["ingest"].get("rejected")),
        "held": held_back(clean, folders["clean"] / "quarantine") if "clean" in folders else [],
        "ingest": told["ingest"],
        "sample": told["sample"],
        "clean": clean,
        "split": parts,
        "checks": checks,
        "leaks": parts.get("leaks") or [],
        "columns": columns,
        "sides": sides,
        "moved": [column for column in columns if (column["psi"] or 0.0) > MOVED],
        "MOVED": MOVED,
        "FAR": FAR,
        "unjudged": bool(columns) and all(column["psi"] is None for column in columns),
        "ENOUGH": ENOUGH,
        "schema": schema(told, night.model.target),
        "labels": labels(clean.get("labels")),
        "features": (told["features"].get("features") or [])[:MOST_FEATURES],
        "feature_count": len(told["features"].get("features") or []),
        "left_out": told["features"].get("left_out") or {},
        "rows": told["features"].get("rows", parts.get("train")),
    }


def schema(told: Mapping[str, Mapping[str, Any]], target: str) -> list[dict[str, Any]]:
    """Return each column: its type in the source, what it is read as, how much is missing, and what it holds."""
    types, profile = told["ingest"].get("columns") or {}, told["clean"].get("profile") or {}
    kinds = told["clean"].get("kinds") or {}
    found = []
    for name in list(dict.fromkeys([*types, *kinds]))[:MOST_FEATURES]:
        known = profile.get(name) or {}
        quantiles = known.get("quantiles") or {}
        holds = ""
        if quantiles.get("0.5") is not None:
            holds = f"{_cell(quantiles.get('0.0'))} … {_cell(quantiles.get('1.0'))}, median {_cell(quantiles['0.5'])}"
        elif known.get("top"):
            count = known.get("distinct")
            told_count = f"{count} values" if count else f"over {known.get('distinct_over')} values"
            holds = f"{told_count}, most often {', '.join(str(item['value'])[:24] for item in known['top'][:3])}"
        kind = "target" if name == target else kinds.get(name, "")
        kind = "not shown to the learner" if kind == "dropped" else kind
        found.append(
            {"name": name, "type": types.get(name, ""), "kind": kind, "holds": holds, "missing": known.get("missing")}
        )
    return found


def _cell(value: Any) -> str:
    if not isinstance(value, int | float):
        return str(value)[:16].replace("T", " ")
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:,.6g}"


def labels(counts: Any) -> list[dict[str, Any]]:
    """Return the labels of a classification with their counts and shares, the most frequent first."""
    if not isinstance(counts, Mapping) or not all(isinstance(count, int) for count in counts.values()):
        return []
    whole = sum(counts.values()) or 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:MOST_LABELS]
    return [{"label": str(label)[:60], "rows": count, "share": count / whole} for label, count in ranked]


def steps(told: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows through each step: how many came in and went on, and what became of the others."""
    ingest, sample, clean, split = (told[stage] for stage in ("ingest", "sample", "clean", "split"))
    found: list[dict[str, Any]] = []

    def step(name: str, came: Any, went: Any, away: list[tuple[str, Any, str]]) -> None:
        if came is not None:
            away = [(what, count, tone) for what, count, tone in away if count]
            found.append({"name": name, "in": came, "out": went, "away": away})

    if ingest.get("rows") is not None:
        later, lost = ingest.get("not_yet_known") or 0, _count(ingest.get("rejected"))
        away = [("not yet known at the night's date", later, "plain"), ("lines that do not fit", lost, "held")]
        step("ingest", ingest["rows"] + later + lost, ingest["rows"], away)
    if sample.get("in") is not None:
        went = (sample.get("kept") or 0) + (sample.get("sealed_kept", sample.get("sealed")) or 0)
        step("sample", sample["in"], went, [("not drawn", sample["in"] - went, "plain")])
    parts = (("quarantined", "held"), ("duplicates", "plain"), ("filtered", "plain"), ("unlabelled", "plain"))
    step("clean", clean.get("in"), clean.get("clean"), [(name, clean.get(name), tone) for name, tone in parts])
    if split.get("train") is not None:
        came = clean.get("clean", split["train"] + (split.get("sealed") or 0))
        away = [("sealed: they judge, and train no model", split.get("sealed"), "sealed")]
        rest = came - split["train"] - (split.get("sealed") or 0)
        step(
            "split", came, split["train"], [*away, ("left out: embargo, both sides, or unknown labels", rest, "plain")]
        )
    widest = max((one["in"] for one in found), default=0)
    for one in found:
        one["width"] = 100 * one["in"] / widest if widest else 0
        one["share"] = 100 * one["out"] / one["in"] if one["in"] and one["out"] is not None else 0
    return found


def held_back(clean: Mapping[str, Any], quarantine: Path) -> list[dict[str, Any]]:
    """Return why rows were held, how many, and examples of each reason, the most frequent first."""
    reasons = clean.get("by_reason") or {}
    wanted = sorted(reasons, key=lambda reason: (-reasons[reason], reason))[:MOST_REASONS]
    found = [{"why": reason, "rows": reasons[reason], "examples": []} for reason in wanted]
    short = list(found)
    for path in sorted(quarantine.glob("*.parquet")) if found else ():
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if "_reason" not in file.schema_arrow.names:
                continue
            for batch in file.iter_batches(
                8_192, columns=[name for name in ("_key", "_reason") if name in file.schema_arrow.names]
            ):
                for one in short:
                    _add_examples(one, batch)
                short = [one for one in short if len(one["examples"]) < EXAMPLES]
                if not short:
                    return found
    return found


def _add_examples(one: dict[str, Any], batch: pa.RecordBatch) -> None:
    texts = batch.column(batch.schema.get_field_index("_reason"))
    rows = pc.indices_nonzero(pc.match_substring(texts, one["why"]))[: EXAMPLES - len(one["examples"])]
    keys = batch.column("_key").take(rows).to_pylist() if "_key" in batch.schema.names else [None] * len(rows)
    for key, text in zip(keys, texts.take(rows).to_pylist(), strict=True):
        part = next((piece for piece in text.split("; ") if one["why"] in piece), text)
        one["examples"].append(
            {"key": None if key is None else str(key)[:60], "seen": part.replace(one["why"], "", 1).lstrip(": ")[:160]}
        )


def _count(value: Any) -> int:
    """Return a count from a number, counts by table, or a list of cases."""
    if isinstance(value, Mapping):
        return sum(_count(item) for item in value.values())
    if isinstance(value, list):
        return sum(_count(item.get("rows", 1)) if isinstance(item, Mapping) else 1 for item in value)
    return int(value) if isinstance(value, int | float) else 0


def render(page: Mapping[str, Any]) -> str:
    """Return the page as HTML: one file, nothing from elsewhere, no script."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["n"] = lambda value: (
        f"{value:,.0f}".replace(",", "\u202f") if isinstance(value, int | float) else "–"
    )
    environment.filters["pct"] = lambda value: f"{100 * value:.1f} %" if isinstance(value, int | float) else "–"
    environment.filters["psi"] = lambda value: f"{value:.3f}" if isinstance(value, int | float) else "too few rows"
    return environment.get_template("report.html.jinja").render(**page)
