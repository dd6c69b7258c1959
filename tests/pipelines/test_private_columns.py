from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from pipelines.errors import SpecError
from pipelines.private_columns import HASHED, hashed, hashing_key, is_hashed, masked, private_cells
from pipelines.settings import Settings, load
from pipelines.spec import ModelSpec

KEY = b"key"


def test_equal_values_have_equal_hashes_and_nobody_else_can_try_them() -> None:
    same = {hashed(cell, KEY) for cell in (1, 1.0, "1", " 1 ", "1.0", Decimal("1.00"), np.int64(1))}
    assert len(same) == 1
    assert hashed("Łódź", KEY) != hashed("lodz", KEY)
    assert hashed("Łódź", KEY) != hashed("Łódź", b"another home")
    assert is_hashed(hashed("x", KEY))
    assert not is_hashed("x")
    assert not is_hashed(1)


@pytest.mark.parametrize("cell", [None, float("nan"), np.nan])
def test_a_missing_cell_stays_missing(cell: object) -> None:
    assert hashed(cell, KEY) is None


@pytest.mark.parametrize("cell", [True, "", "\ud800", 10**400, float("inf"), [1, "a"], {"b": 1, "a": None}, "a" * 9999])
def test_any_cell_has_a_hash(cell: object) -> None:
    found = hashed(cell, KEY)
    assert found is not None
    assert len(found) == len(HASHED) + 32


def test_columns_are_kept_hashed_or_left_out() -> None:
    columns = {"town": ["Bern", "Bern", None], "ssn": ["1", "2", "3"], "age": [30, 31, 32], "odd": [1, 2, 3]}
    found = masked(columns, {"town": "hash", "ssn": "drop", "odd": "a rule of a later release"}, KEY)
    assert found.keys() == {"town", "age"}
    assert found["age"] is columns["age"]
    assert found["town"] == [hashed("Bern", KEY), hashed("Bern", KEY), None]


def test_instances_that_cannot_be_repeated_are_known() -> None:
    rules = {"town": "hash", "ssn": "drop"}
    assert private_cells({"town": hashed("x", KEY), "age": 1}, ["town", "age"], {})
    assert not private_cells({"town": hashed("x", KEY), "age": 1}, ["age"], rules), "it is not needed"
    assert private_cells({"age": 1}, ["age", "ssn"], rules)
    assert not private_cells({"age": 1}, ["age", "more"], rules), "that is missing for another reason"


def test_the_key_is_one_per_home(home: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert hashing_key(home) == hashing_key(home)
    assert hashing_key(home) != hashing_key(load(home=tmp_path_factory.mktemp("other")))
    assert (home.secrets / "private_columns").stat().st_mode & 0o777 == 0o600


def model(**fields: object) -> ModelSpec:
    return ModelSpec(**{"name": "demo", "task": "regression", "target": "y", **fields})  # type: ignore[arg-type]  # wrong on purpose


def test_a_declaration_is_part_of_the_spec() -> None:
    spec = model(private={"email": "hash", "ssn": "drop"}, key=("email",), drop=("email",))
    assert ModelSpec(**spec.model_dump(mode="json")) == spec
    assert model().private == {}


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"private": {"email": "encrypt"}}, "'hash' or 'drop'"),
        ({"private": {"email": "hash", " email": "drop"}}, "'email' is named twice"),
        ({"private": {"email": "hash"}, "drop": ("email",)}, "named twice: what is in 'drop'"),
        ({"private": {"y": "hash"}}, "is the target"),
        ({"private": {" ": "hash"}}, "has no name"),
        ({"private": ["email"]}, "dictionary"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object], what: str) -> None:
    with pytest.raises(SpecError, match=what):
        model(**fields)
