"""Runs a suite over a frame with Great Expectations, in a folder of its own, without telemetry or progress bars."""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations import expectations as gxe
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from pipelines.errors import SpecError

CONFIG = """\
config_version: 4
analytics_enabled: false
plugins_directory: plugins/
progress_bars: {globally: false, metric_calculations: false}
expectations_store_name: expectations_store
validation_results_store_name: validation_results_store
checkpoint_store_name: checkpoint_store
stores:
  expectations_store:
    class_name: ExpectationsStore
    store_backend: {class_name: TupleFilesystemStoreBackend, base_directory: expectations/}
  validation_results_store:
    class_name: ValidationResultsStore
    store_backend: {class_name: TupleFilesystemStoreBackend, base_directory: validations/}
  checkpoint_store:
    class_name: CheckpointStore
    store_backend:
      {class_name: TupleFilesystemStoreBackend, suppress_store_backend_id: true, base_directory: checkpoints/}
  validation_definition_store:
    class_name: ValidationDefinitionStore
    store_backend: {class_name: TupleFilesystemStoreBackend, base_directory: validation_definitions/}
data_docs_sites:
  docs:
    class_name: SiteBuilder
    show_how_to_buttons: false
    store_backend: {class_name: TupleFilesystemStoreBackend, base_directory: docs/}
    site_index_builder: {class_name: DefaultSiteIndexBuilder}
"""


@dataclass(frozen=True)
class Verdict:
    """What a suite says about a table: one line per failed rule."""

    rules: int
    hard_failed: list[str]
    soft_failed: list[str]


@contextmanager
def _quiet_registry() -> Iterator[None]:
    registry = logging.getLogger("great_expectations.expectations.registry")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        yield
    finally:
        registry.setLevel(level)


with _quiet_registry():  # defining an expectation of a known name logs a line per renderer

    class ExpectColumnQuantileValuesToBeBetween(gxe.ExpectColumnQuantileValuesToBeBetween):  # type: ignore[misc] # untyped
        """The stock expectation, whose numpy bool cannot be stored, with a plain one."""

        def _validate(self, *args: Any, **kwargs: Any) -> Any:
            result = super()._validate(*args, **kwargs)
            result["success"] = bool(result["success"])
            return result


def judge(frame: pd.DataFrame, suite: dict[str, Any], root: Path, name: str, docs: bool) -> Verdict:
    """Run a suite over a frame; with ``docs``, leave Data Docs in ``root/docs``.

    Raises
    ------
    SpecError
        If a rule is not one that Great Expectations knows; lists every one.
    """
    _check_rules(suite["expectations"], name)
    shutil.rmtree(root, ignore_errors=True)
    (root / "expectations").mkdir(parents=True)
    (root / "great_expectations.yml").write_text(CONFIG)
    (root / "expectations" / f"{name}.json").write_text(json.dumps(_identified(suite, name)))
    context = gx.get_context(mode="file", context_root_dir=root)
    loaded = context.suites.get(name)
    asset = context.data_sources.add_pandas("cleaned").add_dataframe_asset(name)
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=asset.add_batch_definition_whole_dataframe("whole"), suite=loaded)
    )
    actions = [gx.checkpoint.UpdateDataDocsAction(name="docs")] if docs else []
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name=name, validation_definitions=[definition], actions=actions, result_format="SUMMARY")
    )
    run = checkpoint.run(batch_parameters={"dataframe": frame})
    results = [result for part in run.run_results.values() for result in part.results]
    hard: list[str] = []
    soft: list[str] = []
    for result in results:
        if not result.success:
            critical = str(getattr(result.expectation_config.severity, "value", "critical")) == "critical"
            (hard if critical else soft).append(_line(result))
    return Verdict(len(results), hard, soft)


def _check_rules(rules: list[Any], name: str) -> None:
    """Refuse rules that Great Expectations does not know; by itself it would log them and judge without them."""
    faults = []
    for number, rule in enumerate(rules):
        try:
            ExpectationConfiguration(**{"type": "", "kwargs": {}, **rule}).to_domain_obj()
        except Exception as error:  # noqa: BLE001 # the classes it raises for bad JSON differ from rule to rule
            kind = rule.get("type") if isinstance(rule, dict) else rule
            faults.append(f"rule {number} ({kind}): {' '.join(str(error).split())[:200]}")
    if faults:
        raise SpecError(
            "a suite cannot be read",
            where=f"suite of {name}",
            seen=f"{len(faults)} of {len(rules)} rules that Great Expectations does not know or cannot apply",
            expected="rules as its gallery documents them",
            cure="correct these rules, or write the suite anew with aimass init --force",
            faults=faults,
        )


def _identified(suite: dict[str, Any], name: str) -> dict[str, Any]:
    """Give the suite with an id on every rule: people add rules without one."""
    rules = [
        {"id": str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([number, rule], sort_keys=True))), "meta": {}, **rule}
        for number, rule in enumerate(suite["expectations"])
    ]
    whole = {"id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)), "meta": {}, "notes": None, **suite}
    return {**whole, "name": name, "expectations": rules}


def _line(result: Any) -> str:
    """Give a failed rule with what was seen, in one line."""
    limits = {
        key: value for key, value in result.expectation_config.kwargs.items() if key not in ("column", "batch_id")
    }
    column = result.expectation_config.kwargs.get("column")
    seen: list[str] = []
    outcome = result.result or {}
    if outcome.get("observed_value") is not None:
        seen.append(str(outcome["observed_value"]))
    if outcome.get("unexpected_percent") is not None:
        seen.append(f"{outcome['unexpected_percent']:.2f} % of values")
    examples = list(dict.fromkeys(repr(value) for value in outcome.get("partial_unexpected_list") or []))
    if examples:
        seen.append("such as " + ", ".join(examples[:3]))
    errors = [info.get("exception_message") for info in _infos(result.exception_info)]
    seen.extend(dict.fromkeys(str(error) for error in errors if error))
    where = f"column {column!r}: " if column else ""
    wanted = json.dumps(limits, default=str, ensure_ascii=False)
    return f"{where}{result.expectation_config.type} {wanted[:200]}; seen {', '.join(seen) or 'a breach'}"[:600]


def _infos(info: Any) -> list[dict[str, Any]]:
    if not isinstance(info, dict):
        return []
    return [info] if "exception_message" in info else [part for part in info.values() if isinstance(part, dict)]
