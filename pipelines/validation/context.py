"""A private Great Expectations context: in one folder, without telemetry or progress bars."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationSuiteValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.validator.v1_validator import Validator

from pipelines.artifacts import write_json
from pipelines.errors import SpecError
from pipelines.validation import custom_expectations
from pipelines.validation.data_docs import make_local

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
Result = Any
"""An ExpectationValidationResult: untyped at its source."""


class SuiteJudge:
    """Great Expectations over frames: one context, one suite, any number of frames.

    Parameters
    ----------
    suite
        JSON of a suite; rules without an id get one.
    root
        Folder of the context, replaced.
    name
        Name of the model.

    Raises
    ------
    SpecError
        If a rule is not one that Great Expectations knows; lists every one.
    """

    def __init__(self, suite: Mapping[str, Any], root: Path, name: str) -> None:
        check_rules(suite["expectations"], name)
        self.name = name
        whole = identified(suite, name)
        shutil.rmtree(root, ignore_errors=True)
        (root / "expectations").mkdir(parents=True)
        (root / "great_expectations.yml").write_text(CONFIG)
        write_json(root / "expectations" / f"{name}.json", whole)
        self.context = gx.get_context(mode="file", context_root_dir=root)
        self.suite = self.context.suites.get(name)
        self.rules: list[Any] = list(self.suite.expectations)
        self.configurations: dict[str, Any] = {rule.id: rule.configuration for rule in self.rules}
        self.kwargs: dict[str, dict[str, Any]] = {
            rule_id: dict(configuration.kwargs) for rule_id, configuration in self.configurations.items()
        }
        self._asset = self.context.data_sources.add_pandas("cleaned").add_dataframe_asset(name)
        self._batches = self._asset.add_batch_definition_whole_dataframe("partition")

    def check(self, frame: pd.DataFrame, rules: Sequence[Any]) -> dict[str, Result]:
        """Judge a frame by some of the rules; return the results by the rule's id, without lists of rows."""
        if not rules:
            return {}
        validator = Validator(self._batches, result_format="BASIC", batch_parameters={"dataframe": frame})
        part = gx.ExpectationSuite(name=self.name)
        part.expectations = list(rules)
        with custom_expectations.quiet("execution_engine.execution_engine"):  # a line for each rule on several columns
            outcome = validator.validate_expectation_suite(part)
        return {str(result.expectation_config.id): result for result in outcome.results}

    def publish(self, results: Sequence[Result], as_of: datetime, rows: int, partitions: int) -> Path:
        """Store the aggregated results as those of one validation, and build the Data Docs; return their folder."""
        good = sum(bool(result.success) for result in results)
        evaluated = len(results)
        moment = RunIdentifier(run_name=f"{self.name} {as_of:%Y-%m-%d %H:%M}", run_time=as_of)
        outcome = ExpectationSuiteValidationResult(
            results=list(results),
            success=good == evaluated,
            suite_name=self.name,
            batch_id=f"cleaned-{self.name}",
            statistics={
                "evaluated_expectations": evaluated,
                "successful_expectations": good,
                "unsuccessful_expectations": evaluated - good,
                "success_percent": 100 * good / max(1, evaluated),
            },
            meta={
                "great_expectations_version": gx.__version__,
                "run_id": moment,
                "validation_time": as_of,
                "batch_spec": {"rows": rows, "partitions": partitions},
                "batch_markers": {},
                "active_batch_definition": {
                    "datasource_name": "cleaned",
                    "data_connector_name": "fluent",
                    "data_asset_name": self.name,
                    "batch_identifiers": {"rows": rows, "partitions": partitions},
                },
                "batch_parameters": None,
            },
        )
        suite = ExpectationSuiteIdentifier(name=self.name)
        identifier = ValidationResultIdentifier(
            batch_identifier=f"cleaned-{self.name}", expectation_suite_identifier=suite, run_id=moment
        )
        self.context.validation_results_store.store_validation_results(
            suite_validation_result=outcome,
            suite_validation_result_identifier=identifier,
            expectation_suite_identifier=suite,
        )
        self.context.build_data_docs()
        docs = Path(self.context.root_directory) / "docs"
        make_local(docs, f"{self.name} · night of {as_of:%Y-%m-%d %H:%M} UTC")
        return docs


def check_rules(rules: Sequence[Any], name: str, where: str = "") -> None:
    """Raise for rules that Great Expectations does not know; it would only log and skip them."""
    faults = []
    for number, rule in enumerate(rules, 1):
        try:
            ExpectationConfiguration(**{"type": "", "kwargs": {}, **rule}).to_domain_obj()
        except Exception as error:  # noqa: BLE001 # the classes it raises for bad JSON differ from rule to rule
            kind = rule.get("type") if isinstance(rule, dict) else rule
            faults.append(f"rule {number} ({kind}): {' '.join(str(error).split())[:200]}")
    if faults:
        raise SpecError(
            "a suite cannot be read",
            where=where or f"suite of {name}",
            seen=f"{len(faults)} of {len(rules)} rules that Great Expectations does not know or cannot apply",
            expected=f"rules as its gallery documents them, or one of {', '.join(sorted(custom_expectations.TYPES))}",
            cure="correct these rules, or write the suite anew with aimass expectations learn NAME --write",
            faults=faults,
        )


def identified(suite: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the suite with a unique id for every rule: people add rules without one, or copy rules with their id."""
    taken: set[str] = set()
    rules = []
    for number, rule in enumerate(suite["expectations"]):
        rule_id = rule.get("id")
        if not rule_id or rule_id in taken:
            rule_id = str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([number, rule], sort_keys=True)))
        taken.add(rule_id)
        rules.append({"meta": {}, **rule, "id": rule_id})
    whole = {"id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)), "meta": {}, "notes": None, **suite}
    return {**whole, "name": name, "expectations": rules}
