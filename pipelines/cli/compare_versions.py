"""`aimass why`: compares a version with the one before: what changed, and which change moved the score."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines import stages, storage
from pipelines.cli.rescore import on_tonights_rows
from pipelines.cli.show import require_model
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.metrics import METRICS
from pipelines.reserved_columns import RESERVED
from pipelines.settings import Settings
from pipelines.text_table import text_table

FAR = 0.1
"""The population stability index from which drift is reported (Siddiqi 2006)."""
MAX_TOLD = 8
TRAINING = tuple(stage.name for stage in stages.NIGHT if stage.shapes_model)


def why(settings: Settings, ledger: Ledger, name: str, version: int | None, against: int | None) -> dict[str, Any]:
    """Compare a version with an earlier one.

    Returns
    -------
    dict
        ``version``, ``against``: {version, night, as_of, score};
        ``data``: {changed, stages: {stage: rows before and after, of those whose content changed}, columns: {added,
        removed}, drift: {column: population stability index}};
        ``parameters``: {path: [before, after]}; ``seed``: [before, after] or None; ``code``, ``environment``: stages
        whose code or lock differ, None where unknown; ``search``: {trials, best, members} before and after;
        ``score``: {metric, before, after, same_rows, model, rows}: ``same_rows`` is the earlier version on this one's
        sealed rows, ``model`` and ``rows`` what the model and the other rows add to the change, > 0 is better;
        ``causes``: what changed, of data, parameters, seed, code, environment; ``imported``: those of the two versions
        that were made elsewhere, so that causes cannot be known; ``sentence``.

    Raises
    ------
    SpecError
        If a version is unknown, or there is none before it.
    """
    after, before = chosen(ledger, name, version, against)
    rows = [{row.stage: row for row in ledger.stages(name, each.night)} for each in (before, after)]
    facts: dict[str, Any] = {"model": name}
    for label, each in (("version", after), ("against", before)):
        moment = each.as_of.isoformat() if each.as_of else None
        facts[label] = {"version": each.version, "night": each.night, "as_of": moment, "score": each.score}
    facts["data"] = _data(settings, *rows)
    models = [_model(stages) for stages in rows]
    seeds = [model.pop("seed", None) for model in models]
    changed = {f"model.{key}": pair for key, pair in _pairs(*models).items()}
    for stage in dict.fromkeys([*rows[0], *rows[1]]):
        specs = [dict(stages[stage].spec or {}) if stage in stages else {} for stages in rows]
        if all(specs):
            changed |= {f"{stage}.{key}": pair for key, pair in _pairs(*specs).items()}
    facts["parameters"] = changed
    facts["imported"] = [each.version for each in (before, after) if (each.verdict or {}).get("imported")]
    facts["seed"] = seeds if seeds[0] != seeds[1] and not facts["imported"] else None
    for kind in ("code", "environment"):
        facts[kind] = _stages_of(kind, *rows)
    facts["search"] = _pairs(*(_search(stages) for stages in rows))
    facts["score"] = _score(settings, before, after, rows[1])
    facts["causes"] = [
        *(["data"] if facts["data"]["changed"] else []),
        *(name for name in ("parameters", "seed", "code", "environment") if facts[name]),
    ]
    facts["sentence"] = sentence(facts)
    return facts


def chosen(ledger: Ledger, name: str, version: int | None, against: int | None) -> tuple[Any, Any]:
    """Return the rows of the version (default: newest) and of the one to compare with (default: the one before)."""
    require_model(ledger, name)
    known = {row.version: row for row in ledger.versions(name)}
    number = max(known, default=0) if version is None else version
    other = max((item for item in known if item < number), default=0) if against is None else against
    missing = [item for item in (number, other) if item not in known]
    if missing or number == other:
        raise SpecError(
            "there are no two versions to compare",
            where=name,
            seen=f"{number} against {other or 'none before it'}",
            expected=f"two of the versions {', '.join(map(str, known))}" if len(known) > 1 else "at least two versions",
            cure=f"aimass show {name} lists them; aimass run {name} makes one",
        )
    return known[number], known[other]


def _model(stages: Mapping[str, Any]) -> dict[str, Any]:
    row = stages.get("ensemble")
    return dict((row.made_of or {}).get("model") or {}) if row is not None else {}


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = dict.fromkeys([*before, *after]) if before and after else {}
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}


def _stages_of(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str] | None:
    both = [name for name in TRAINING if name in before and name in after]
    told = [name for name in both if before[name].made_of and after[name].made_of]
    return [name for name in told if before[name].made_of[kind] != after[name].made_of[kind]] if told else None


def _search(stages: Mapping[str, Any]) -> dict[str, Any]:
    tune, ensemble = (stages[name].ref["meta"] if name in stages and stages[name].ref else {} for name in TRAINING[-2:])
    best = tune.get("best") or {}
    return {
        "trials": tune.get("trials"),
        "best": best.get("family"),
        "combination": ensemble.get("kind"),
        "members": ensemble.get("members"),
    }


def _data(settings: Settings, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the results of the data stages, and the distributions of the training rows."""
    changed: dict[str, Any] = {}
    for name in ("ingest", "sample", "clean", "split", "features"):
        pair = [stages[name] for stages in (before, after) if name in stages and stages[name].ref]
        if len(pair) == 2 and pair[0].ref["digest"] != pair[1].ref["digest"]:
            changed[name] = [row.rows for row in pair]
    found: dict[str, Any] = {"changed": "ingest" in changed, "stages": changed, "columns": {}, "drift": {}}
    parts = [stages["split"] for stages in (before, after)] if "split" in changed else []
    folders = [storage.resolve(settings, row.ref["uri"]) / "train" for row in parts]
    if folders and all(folder.is_dir() for folder in folders):
        from pipelines.features.distributions import compare

        names = [storage.dataset(folder).schema.names for folder in folders]
        found["columns"] = {
            "added": [name for name in names[1] if name not in names[0]],
            "removed": [name for name in names[0] if name not in names[1]],
        }
        drift = {
            each.name: each.psi for each in compare(*folders) if each.psi is not None and each.name not in RESERVED
        }
        far = sorted((pair for pair in drift.items() if pair[1] > FAR), key=lambda pair: -pair[1])
        found["drift"] = {name: round(value, 4) for name, value in far}
    return found


def _score(settings: Settings, before: Any, after: Any, stages: Mapping[str, Any]) -> dict[str, Any]:
    verdict = after.verdict or {}
    facts = {"metric": after.metric, "before": before.score, "after": after.score}
    same = verdict.get("champion_score") if verdict.get("champion_version") == before.version else None
    if same is None:
        same = on_tonights_rows(settings, before, after, stages)
    facts |= {"same_rows": same, "model": None, "rows": None, "detectable": verdict.get("detectable")}
    if same is not None and None not in (before.score, after.score) and before.metric == after.metric:
        turn = METRICS[after.metric].sign
        facts |= {"model": turn * (after.score - same) + 0.0, "rows": turn * (same - before.score) + 0.0}
    return facts


def sentence(facts: Mapping[str, Any]) -> str:
    """Return a sentence on where the change of the score comes from."""
    score, causes = facts["score"], facts["causes"]
    if facts["imported"]:
        known = " and ".join(f"version {each}" for each in facts["imported"])
        return f"what changed is not known: {known} came from elsewhere by aimass import."
    told = " and ".join(filter(None, [", ".join(causes[:-1]), *causes[-1:]])) or "nothing"
    if score["model"] is None:
        return f"{told} changed; the two versions were not scored on the same rows."
    model, rows = score["model"], score["rows"]
    split = f"of the change in {score['metric']} ({model + rows:+.4g}, above 0 is better) the model makes {model:+.4g}"
    split = f"{split} and other sealed rows {rows:+.4g}"
    if not causes:
        none = "the versions are equal" if model == 0 else "a budget in seconds, or what is not recorded, explains it"
        return f"nothing that is recorded changed: {none}; {split}."
    noise = score["detectable"]
    if noise is not None and abs(model) < noise:
        return f"{told} changed; {split}; the model's part is within the noise of these rows (below {noise:.3g})."
    if len(causes) == 1:
        return f"only {told} changed and so explains the model's part: {split}."
    return f"{told} changed, and share the model's part: {split}."


def lines_of(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the comparison in words."""
    new, old, data = facts["version"], facts["against"], facts["data"]
    titles = [f"version {each['version']} ({(each['as_of'] or 'no date')[:10]})" for each in (new, old)]
    yield f"{facts['model']} {titles[0]} against {titles[1]}"
    rows = ", ".join(f"{stage} {pair[0]} -> {pair[1]}" for stage, pair in data["stages"].items())
    how = "changed: rows of" if data["changed"] else "same source; other content, rows of"
    same = "unknown" if facts["imported"] else "same"
    lines = [["data", f"{how} {rows}" if rows else same]]
    named = [(word, data["columns"].get(word)) for word in ("added", "removed")]
    lines += [["", f"columns {word}: {', '.join(columns[:MAX_TOLD])}"] for word, columns in named if columns]
    if data["drift"]:
        drift = [f"{name} {value:.2g}" for name, value in list(data["drift"].items())[:MAX_TOLD]]
        lines.append(["", f"drift of training rows (PSI above {FAR}): {', '.join(drift)}"])
    lines.append(["parameters", "changed" if facts["parameters"] else same])
    lines += [["", f"{path}: {_short(pair[0])} -> {_short(pair[1])}"] for path, pair in facts["parameters"].items()]
    lines.append(["seed", " -> ".join(map(str, facts["seed"])) if facts["seed"] else same])
    for kind in ("code", "environment"):
        stages = facts[kind]
        told = f"changed: {', '.join(stages)}" if stages else "same"
        lines.append([kind, "unknown" if stages is None else told])
    lines += [[name, f"{pair[0]} -> {pair[1]}"] for name, pair in facts["search"].items()]
    score = facts["score"]
    numbers = [score["before"], score["same_rows"], score["after"]]
    then, again, now = ("-" if value is None else f"{value:.6g}" for value in numbers)
    same_rows = f"version {old['version']} on the same sealed rows: {again}"
    lines.append(["score", f"{score['metric']} {then} -> {now}; {same_rows}"])
    yield from text_table(lines)
    yield facts["sentence"][:1].upper() + facts["sentence"][1:]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
