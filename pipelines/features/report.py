"""One page per night, from the reports of its stages: what came in, what was held back and why, what is learned."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import storage
from pipelines.artifacts import Night, night_slug, write_atomic
from pipelines.errors import AimassError
from pipelines.features.distributions import compare, summary
from pipelines.pages import show_page
from pipelines.settings import Settings

STAGES = ("ingest", "sample", "clean", "validate", "split", "features")
EXAMPLES = 3
MOST_REASONS = 40
MOST_FEATURES = 1_000
MOVED, FAR = 0.1, 0.25
"""Population stability indices from which a column counts as moved, and as moved far."""


def publish_report(
    out: Path, *, night: Night, settings: Settings, lineage: Mapping[str, Any] | None, split: Path, cleaned: Path
) -> Path | None:
    """Write ``report.html`` into the artifact and show it under ``settings.docs/<model>/nights/``; give that place.

    Parameters
    ----------
    out
        Folder of the features artifact with its ``report.json``.
    lineage
        By stage, the ref of this night's result; stages that are not in it have no section.

    Returns
    -------
    Path or None
        None if a file that the page is made from cannot be read: a page never stops a night.
    """
    try:
        page = render(gather(night, reports(out, settings, lineage or {}, split, cleaned), split, cleaned))
    except (OSError, ValueError, pa.ArrowException, AimassError, jinja2.TemplateError) as error:
        print(f"warning: no page of this night: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return None
    write_atomic(out / "report.html", page)
    place = show_page(out / "report.html", settings.docs, night.model.name, night_slug(night.night))
    print(f"report: {place}", file=sys.stderr, flush=True)
    return place


def reports(
    out: Path, settings: Settings, lineage: Mapping[str, Any], split: Path, cleaned: Path
) -> dict[str, dict[str, Any]]:
    """Read ``report.json`` of every stage of the night; one that is not there is empty."""
    folders = {"split": split, "clean": cleaned, "features": out}
    for stage in STAGES:
        uri = (lineage.get(stage) or {}).get("uri")
        if stage not in folders and uri:
            folders[stage] = storage.resolve(settings, uri)
    found: dict[str, dict[str, Any]] = {}
    for stage in STAGES:
        path = folders[stage] / "report.json" if stage in folders else None
        said = json.loads(path.read_text()) if path is not None and path.is_file() else {}
        found[stage] = said if isinstance(said, dict) else {}
    return found


def gather(night: Night, told: Mapping[str, Mapping[str, Any]], split: Path, cleaned: Path) -> dict[str, Any]:
    """Give what the page shows, with nothing left to decide but its looks."""
    clean, parts, checks = told["clean"], told["split"], told["validate"]
    columns = sorted(
        (summary(column) for column in compare(split / "train", split / "sealed")),
        key=lambda column: -(column["psi"] or 0.0),
    )
    held = held_back(clean, cleaned / "quarantine")
    return {
        "model": night.model.name, "night": night.night, "as_of": f"{night.as_of:%Y-%m-%d %H:%M} UTC",
        "target": night.model.target, "task": night.model.task, "owner": getattr(night.model, "owner", ""),
        "steps": steps(told), "held": held, "rejected": _count(told["ingest"].get("rejected")),
        "ingest": told["ingest"], "sample": told["sample"], "clean": clean,
        "split": parts, "checks": checks, "leaks": parts.get("leaks") or [], "columns": columns,
        "moved": [column for column in columns if (column["psi"] or 0.0) > MOVED], "MOVED": MOVED, "FAR": FAR,
        "kinds": clean.get("kinds") or {},
        "features": (told["features"].get("features") or [])[:MOST_FEATURES],
        "feature_count": len(told["features"].get("features") or []),
        "left_out": told["features"].get("left_out") or {}, "rows": told["features"].get("rows"),
    }  # fmt: skip


def steps(told: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give the rows through each step: how many came in and went on, and where the others went."""
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
    parts = (
        ("quarantined", "held"), ("duplicates", "plain"), ("filtered", "plain"), ("unlabelled", "plain"),
    )  # fmt: skip
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
    """Give why rows were held, how many, and examples of each reason, the most frequent first."""
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
    """Give a count that may be told as a number, by table, or as a list of cases."""
    if isinstance(value, Mapping):
        return sum(_count(item) for item in value.values())
    if isinstance(value, list):
        return sum(_count(item.get("rows", 1)) if isinstance(item, Mapping) else 1 for item in value)
    return int(value) if isinstance(value, int | float) else 0


def render(page: Mapping[str, Any]) -> str:
    """Give the page as HTML: one file, nothing from elsewhere, no script."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True,
        undefined=jinja2.ChainableUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["n"] = lambda value: (
        f"{value:,.0f}".replace(",", "\u202f") if isinstance(value, int | float) else "–"
    )
    environment.filters["pct"] = lambda value: f"{100 * value:.1f} %" if isinstance(value, int | float) else "–"
    environment.filters["psi"] = lambda value: f"{value:.3f}" if isinstance(value, int | float) else "too few rows"
    return environment.get_template("report.html.jinja").render(**page)
