from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.cleaning.clean import Cleaned, clean
from pipelines.cleaning.outliers import robust_bounds
from pipelines.cleaning.quarantine import Held
from pipelines.cleaning.spec import CleanSpec, NumberText, Outliers, Unit
from pipelines.errors import DataError, SpecError
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))


def table(count: int = 60, **changed: dict[int, Any]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "id": [str(index) for index in range(count)],
        "age": [str(20 + index % 40) for index in range(count)],
        "city": ["Rome", "Paris"] * (count // 2),
        "label": ["yes", "no", "no"] * (count // 3),
    }
    for name, cells in changed.items():
        for index, cell in cells.items():
            columns[name][index] = cell
    stamps = {
        "_key": pa.array(columns["id"], pa.string()),
        "_time": pa.nulls(count, pa.timestamp("us", "UTC")),
        "_sealed": pa.array([index % 10 == 9 for index in range(count)]),
        "_weight": pa.array(np.ones(count)),
    }
    return pa.table({**{name: pa.array(cells) for name, cells in columns.items()}, **stamps})


def run(spec: CleanSpec, model: ModelSpec = MODEL, **changed: dict[int, Any]) -> Cleaned:
    result = clean(table(**changed), model, spec)
    outcomes = ("clean", "quarantined", "duplicates", "filtered", "unlabelled")
    assert result.report["in"] == sum(result.report[outcome] for outcome in outcomes)
    return result


def reasons(result: Cleaned) -> dict[str, str]:
    held = result.quarantine
    return dict(zip(held["id"].to_pylist(), held["_reason"].to_pylist(), strict=True))


def column(result: Cleaned, name: str) -> dict[str, Any]:
    return dict(zip(result.table["_key"].to_pylist(), result.table[name].to_pylist(), strict=True))


def test_a_rule_holds_rows_for_which_it_is_false_and_names_itself() -> None:
    spec = CleanSpec(rules={"age_is_human": "0 <= age <= 120", "both": "age < 150 or city != 'Rome'"})
    result = run(spec, age={4: "-3", 6: "200", 8: "?"})
    assert reasons(result) == {
        "4": "rule 'age_is_human' is broken (0 <= age <= 120): '-3'",
        "6": "rule 'age_is_human' is broken (0 <= age <= 120): '200'; "
        "rule 'both' is broken (age < 150 or city != 'Rome'): age '200', city 'Rome'",
    }
    assert result.report["by_reason"]["rule 'age_is_human' is broken (0 <= age <= 120)"] == 2
    assert column(result, "age")["8"] is None


def test_filters_leave_rows_out_and_are_counted() -> None:
    result = run(CleanSpec(filters=("age >= 21", "city != 'Paris' or age < 50"), require=("city",)), city={4: "na"})
    counted = result.report["filtered_by"]
    assert counted["filter 'age >= 21' is false"] == 2
    assert counted["column 'city' is required and missing"] == 1
    assert result.report["quarantined"] == 0
    assert min(result.table["age"].to_pylist()) == 21


def test_a_rule_that_tells_nothing_is_named() -> None:
    spec = CleanSpec(rules={"age": "age > 0", "rich": "city > 1000"})
    result = run(spec, age=dict.fromkeys(range(1, 60), "?"))
    assert [note for note in result.report["notes"] if note.startswith("rule")] == [
        "rule 'rich' told nothing about any row (city > 1000): its columns are missing or of another kind everywhere"
    ]


def test_a_reason_shows_moments_beyond_the_calendar() -> None:
    held = Held(pa.table({"until": pa.array([0, 2**63 - 1], pa.timestamp("us"))}))
    held.hold(np.array([False, True]), "rule 'ends' is broken", ["until"])
    assert "value out of range" in held.table()["_reason"][0].as_py()


def test_infinite_moments_are_missing() -> None:
    rows = table()
    known = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=row) for row in range(rows.num_rows)]
    ends = {4: 2**63 - 1, 5: -(2**63) + 1}
    moments = [ends.get(row, int(moment.timestamp()) * 1_000_000) for row, moment in enumerate(known)]
    typed = rows.append_column("until", pa.array(moments, pa.timestamp("us")))
    texts = [{4: "infinity", 5: "-infinity"}.get(row, moment.isoformat()) for row, moment in enumerate(known)]
    for one in (typed, rows.append_column("until", pa.array(texts))):
        result = clean(one, MODEL, CleanSpec())
        missing = [row for row, moment in enumerate(result.table["until"].to_pylist()) if moment is None]
        assert (missing, result.report["quarantined"]) == ([4, 5], 0)


def test_rules_may_read_columns_that_the_learner_never_sees() -> None:
    model = MODEL.model_copy(update={"drop": ("city",)})
    result = run(CleanSpec(rules={"known": "city in ('Rome', 'Paris')"}), model, city={7: "Atlantis"})
    assert list(reasons(result)) == ["7"]
    assert "city" not in result.table.column_names


def test_allowed_texts_of_a_column_and_of_the_target() -> None:
    spec = CleanSpec(
        allowed={"city": ("rome", "Paris"), "label": ("yes", "no")},
        repair={"city": ("case",)},
        aliases={"label": {"y": "yes"}},
    )
    result = run(spec, city={3: "Atlantis", 4: None}, label={5: "maybe", 6: "Y", 9: "y"})
    assert reasons(result) == {
        "3": "column 'city' holds none of its allowed texts: 'Atlantis'",
        "5": "column 'label' holds none of its allowed texts: 'maybe'",
        "6": "column 'label' holds none of its allowed texts: 'Y'",
    }
    assert set(result.table["city"].to_pylist()) == {"rome", "paris", None}
    assert column(result, "_y")["9"] == "yes"


@pytest.mark.parametrize(
    ("action", "outcome", "kept"), [("clip", "clean", 60), ("drop", "filtered", 59), ("hold", "quarantined", 59)]
)
def test_outliers_are_clipped_dropped_or_held(action: Any, outcome: str, kept: int) -> None:
    result = run(CleanSpec(outliers={"age": Outliers(action=action, k=3)}), age={5: "4000"})
    assert result.table.num_rows == kept
    assert result.report[outcome] == (60 if outcome == "clean" else 1)
    assert max(result.table["age"].to_pylist()) < 110
    served = result.recipe.apply_row({"age": "4000"})["age"]
    assert served == (max(result.table["age"].to_pylist()) if action == "clip" else 4000.0)


def test_rules_see_what_a_clip_would_hide() -> None:
    spec = CleanSpec(outliers={"age": Outliers(high=60.0)}, rules={"human": "age <= 120"})
    result = run(spec, age={5: "4000", 6: "99"})
    assert list(reasons(result)) == ["5"]
    assert column(result, "age")["6"] == 60.0


def test_bounds_come_from_unsealed_rows_and_are_robust() -> None:
    sealed = dict.fromkeys(range(9, 60, 10), "9000")
    bounds = run(CleanSpec(outliers={"age": Outliers(by="quantiles", quantiles=(0, 1))}), age=sealed)
    assert max(bounds.table["age"].to_pylist()) == 58.0
    values = np.concatenate([np.random.default_rng(0).normal(10, 2, 1000), [1e9] * 100, [np.nan]])
    low, high = robust_bounds(values, 4)
    assert low == pytest.approx(10 - 8, abs=1.5)
    assert high == pytest.approx(10 + 8, abs=1.5)
    assert robust_bounds(np.array([1.0, 1.0, 1.0]), 3) == (None, None)
    assert robust_bounds(np.array([0.0] * 9 + [10.0]), 1) == (pytest.approx(-1.2533), pytest.approx(1.2533))


def test_units_slips_and_ways_of_writing() -> None:
    spec = CleanSpec(
        numbers={"age": NumberText(decimal=",", suffixes={"years": 1})},
        units={"age": Unit(factor=12, slip=1000)},
        sentinels={"age": (999,)},
    )
    result = run(spec, age={3: "31,5 years", 4: "31000", 5: "999", 6: "1,2x"})
    ages = column(result, "age")
    assert (ages["3"], ages["4"], ages["5"]) == (378.0, 372.0, None)
    assert list(reasons(result)) == ["6"]
    assert result.recipe.apply_row({"age": "31000"})["age"] == 372.0


def test_missing_texts_of_one_column() -> None:
    result = run(CleanSpec(missing_in={"city": ("unknown",)}), city={2: "Unknown", 3: "none"})
    cities = column(result, "city")
    assert (cities["2"], cities["3"]) == (None, "none")


def test_control_characters_and_documents_are_no_category() -> None:
    result = run(CleanSpec(), city={2: "Ro\x00me", 3: "x" * 5000, 4: "two\nlines"}, label={5: "y\x01s"})
    assert set(reasons(result)) == {"2", "3", "5"}
    assert "cannot be read as a category: 'Ro\\x00me'" in reasons(result)["2"]


def test_too_many_broken_rules_stop_the_night() -> None:
    with pytest.raises(DataError, match="too many rows") as caught:
        run(CleanSpec(rules={"old": "age > 40"}))
    assert any("rule 'old' is broken" in fault for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (CleanSpec(repair={"age": ("case",)}), "clean.repair: column 'age'"),
        (CleanSpec(kinds={"city": "category"}, aliases={"city": {"a": "b", "b": "c"}}), "stands for an alias"),
        (CleanSpec(outliers={"label": Outliers()}), "clean.outliers: column 'label'"),
        (CleanSpec(rules={"r": "nothing > 1"}), "clean.rules, 'r': 'nothing'"),
        (CleanSpec(filters=("height > 1",)), "clean.filters, 'height > 1': 'height'"),
        (CleanSpec(sentinels={"x": (1,)}, allowed={"y": ("a",)}), "clean.sentinels: 'x'"),
    ],
)
def test_declarations_that_do_not_fit_are_spec_errors(spec: CleanSpec, fault: str) -> None:
    with pytest.raises(SpecError) as caught:
        run(spec)
    assert any(fault in text for text in caught.value.faults)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SpecError, match="CleanSpec") as caught:
        CleanSpec(kinds={"x": "category"}, units={"x": Unit()}, outliers={"x": Outliers()}, dates={"x": "%Y"})
    assert "'units'" in caught.value.faults[0]
    assert "'outliers'" in caught.value.faults[0]
    with pytest.raises(SpecError):
        NumberText(decimal=",", thousands=",")
    with pytest.raises(SpecError):
        Outliers(low=2, high=1)
    with pytest.raises(SpecError, match="fill"):
        run(CleanSpec(merge="fill"), MODEL.model_copy(update={"key": ()}))
