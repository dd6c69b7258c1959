"""Expectations that Great Expectations does not have, or has with a fault; imported before a suite is read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import time
from typing import Any

import pandas as pd
from great_expectations import expectations as gxe
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation, MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    MulticolumnMapMetricProvider,
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (
    multicolumn_condition_partial,
)
from great_expectations.render import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer

TYPES = ("expect_column_times_of_day_to_be_between", "expect_multicolumn_values_to_add_up")
_DOMAIN = ("batch_id", "table", "row_condition", "condition_parser", "ignore_row_if")


@contextmanager
def quiet(module: str) -> Iterator[None]:
    """Keep the warnings of one module of Great Expectations out of the log."""
    logger = logging.getLogger(f"great_expectations.{module}")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class TimesOfDay(ColumnMapMetricProvider):  # type: ignore[misc] # untyped
    """Whether the time of day of a timestamp lies in an interval, which may cross midnight."""

    condition_metric_name = "column_values.time_of_day"
    condition_domain_keys = (*_DOMAIN, "column")
    condition_value_keys = ("min_value", "max_value")

    @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator] # untyped
    def _pandas(cls, column: Any, min_value: str, max_value: str, **_: Any) -> Any:  # noqa: N805 # their form
        second = column.dt.hour * 3600 + column.dt.minute * 60 + column.dt.second
        low, high = (_seconds(text) for text in (min_value, max_value))
        if low <= high:
            return (second >= low) & (second <= high)
        return (second >= low) | (second <= high)


class AddsUp(MulticolumnMapMetricProvider):  # type: ignore[misc] # untyped
    """Whether the last of the columns is the sum of the others, up to a share of it."""

    condition_metric_name = "multicolumn_values.add_up"
    condition_domain_keys = (*_DOMAIN, "column_list")
    condition_value_keys = ("tolerance",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator] # untyped
    def _pandas(cls, column_list: pd.DataFrame, tolerance: float = 1e-6, **_: Any) -> Any:  # noqa: N805 # their form
        total = column_list.iloc[:, -1]
        parts = column_list.iloc[:, :-1].sum(axis=1, skipna=False)
        return (parts - total).abs() <= tolerance * total.abs().clip(lower=1.0)


with quiet("expectations.registry"):  # defining an expectation of a known name logs a line per renderer

    class ExpectColumnQuantileValuesToBeBetween(gxe.ExpectColumnQuantileValuesToBeBetween):  # type: ignore[misc] # untyped
        """The stock expectation, returning a plain bool: its numpy bool cannot be stored."""

        def _validate(self, *args: Any, **kwargs: Any) -> Any:
            result = super()._validate(*args, **kwargs)
            result["success"] = bool(result["success"])
            result["result"]["details"] = {
                name: [bool(item) for item in items] for name, items in result["result"]["details"].items()
            }
            return result

    class ExpectColumnTimesOfDayToBeBetween(ColumnMapExpectation):  # type: ignore[misc] # untyped
        """Times of day lie between two bounds, across midnight if the first is later; finds a shifted time zone."""

        min_value: str
        max_value: str
        map_metric = "column_values.time_of_day"
        success_keys = ("min_value", "max_value", "mostly")

        @classmethod
        @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)  # type: ignore[untyped-decorator] # untyped
        def _prescriptive_renderer(cls, configuration: Any = None, **_: Any) -> list[Any]:
            return _said("times of day must lie from $min_value to $max_value", configuration)

    class ExpectMulticolumnValuesToAddUp(MulticolumnMapExpectation):  # type: ignore[misc] # untyped
        """The last column of the list is the sum of the others, where none of them is missing."""

        tolerance: float = 1e-6
        ignore_row_if: Any = "any_value_is_missing"
        map_metric = "multicolumn_values.add_up"
        success_keys = ("tolerance", "mostly")

        @classmethod
        @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)  # type: ignore[untyped-decorator] # untyped
        def _prescriptive_renderer(cls, configuration: Any = None, **_: Any) -> list[Any]:
            return _said("$total must be the sum of $parts", configuration)


def _said(template: str, configuration: Any) -> list[Any]:
    """Return the words of a rule for the Data Docs."""
    params = dict(configuration.kwargs)
    if "column_list" in params:
        *parts, params["total"] = params["column_list"]
        params["parts"] = ", ".join(parts)
    if params.get("mostly", 1.0) < 1.0:
        params["share"] = f"{100 * params['mostly']:.6g}"
        template += ", at least $share % of the time"
    said = {"template": f"{template}.", "params": params}
    return [RenderedStringTemplateContent(content_block_type="string_template", string_template=said)]


def _seconds(text: str) -> int:
    moment = time.fromisoformat(text)
    return moment.hour * 3600 + moment.minute * 60 + moment.second
