"""The schema of an import says what callers send; whatever is wrong with it is said at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from foreign import SKLEARN

from pipelines.errors import SpecError
from pipelines.exchange.contract import Contract, read_contract


def test_rows_become_numbers_in_the_order_of_the_columns() -> None:
    contract = Contract(
        task="regression",
        columns=(
            {"name": "when", "kind": "date", "formats": ["%d.%m.%Y"], "fill": -1},
            {"name": "size", "low": 0, "high": 10},
            {"name": "town", "kind": "category", "levels": ["Bern", "Łódź"], "unknown": "Łódź"},
            {"name": "plan", "kind": "category", "levels": [1, 2]},
        ),
        key=("id",),
    )
    plan = contract.plan()
    raw = pd.DataFrame(
        {
            "when": ["02.01.1970", "1970-01-03", ""],
            "size": ["12", "-1", "?"],
            "town": [" Łódź ", "Paris", None],
            "plan": ["1", "2.0", "3"],
        }
    )
    clean, _ = plan.recipe.apply(raw)
    matrix = plan.transform(clean)
    expected = [[1.0, 10.0, 1.0, 0.0], [2.0, 0.0, 1.0, 1.0], [-1.0, np.nan, 1.0, -1.0]]
    np.testing.assert_array_equal(matrix, expected)
    rows = [plan.transform_row(plan.recipe.apply_row(row)) for row in raw.to_dict("records")]
    np.testing.assert_array_equal(np.array(rows), expected)


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(SKLEARN))
    (tmp_path / "a.yaml").write_text(
        "task: binary\ntarget: churned\nclasses: ['no', 'yes']\npositive: 'yes'\nkey: [id]\ncolumns:\n"
        "  - {name: tenure, fill: 0}\n"
        "  - {name: plan, kind: category, levels: [monthly, yearly], unknown: monthly}\n"
    )
    assert read_contract(tmp_path / "a.json") == read_contract(tmp_path / "a.yaml")
    spec = read_contract(tmp_path / "a.yaml").model_spec("churn")
    assert (spec.positive, spec.judged_by, spec.key) == ("yes", "roc_auc", ("id",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("classes: [no, yes]", "in quotes"),
        ("classes: ['no']", "needs 'classes'"),
        ("columns: [{name: a}, {name: a}]", "twice"),
        ("columns: [{name: a, kind: category}]", "needs 'levels'"),
        ("columns: [{name: a, levels: [x]}]", "for categories"),
        ("columns: [{name: a, kind: category, levels: [x], unknown: y}]", "none of its levels"),
        ("colums: []", "did you mean 'columns'"),
        ("inputs: [{name: x, columns: [b]}]", "there are not: b"),
        ("positive: maybe", "none of the classes"),
        ("target: a", "no columns that the model reads"),
        ("task: ranking", "'binary'"),
    ],
)
def test_every_fault_has_its_words(tmp_path: Path, change: str, said: str) -> None:
    lines = {"task": "task: binary", "classes": "classes: ['no', 'yes']", "columns": "columns: [{name: a}]"}
    lines[change.split(":")[0]] = change
    (tmp_path / "schema.yaml").write_text("\n".join(lines.values()))
    with pytest.raises(SpecError) as refused:
        read_contract(tmp_path / "schema.yaml")
    assert said in str(refused.value)
    assert str(tmp_path / "schema.yaml") in str(refused.value)


@pytest.mark.fault("A8")
@pytest.mark.parametrize("text", ["[1, 2]", "{", "a: b: c", "!!python/object/apply:os.system ['touch made']", "\x00"])
def test_what_is_no_schema_is_refused_and_runs_nothing(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("schema.yaml", "schema.json"):
        Path(name).write_text(text)
        with pytest.raises(SpecError):
            read_contract(Path(name))
    assert not Path("made").exists()


def test_a_column_is_not_named_as_the_predictions_of_the_samples() -> None:
    with pytest.raises(SpecError, match="name the column otherwise"):
        Contract(task="regression", columns=({"name": "prediction"},))
