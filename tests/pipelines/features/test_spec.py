from __future__ import annotations

import typing

import pytest
from pydantic import TypeAdapter

from pipelines.errors import SpecError
from pipelines.features.fitting import FITS
from pipelines.features.spec import AnyStep, Clip, FeatureSpec, Impute, OneHot, Robust, Standardise

STEPS = typing.get_args(typing.get_args(AnyStep)[0])


def test_every_step_can_be_fitted() -> None:
    kinds = {step.model_fields["kind"].default for step in STEPS}
    assert kinds == set(FITS)
    assert len(kinds) == len(STEPS)


def test_every_field_says_what_it_means() -> None:
    bare = [
        f"{step.__name__}.{name}"
        for step in STEPS
        for name, field in step.model_fields.items()
        if name != "kind" and not field.description
    ]
    assert bare == []
    assert all(step.__doc__ for step in STEPS)


def test_a_spec_survives_json() -> None:
    spec = FeatureSpec(
        auto=False,
        steps=(
            Impute(columns=("age",), how="median", indicator=True),
            Standardise(columns="numbers"),
            OneHot(columns=("workclass",), max_levels=20),
        ),
    )
    assert FeatureSpec(**spec.model_dump(mode="json")) == spec
    assert FeatureSpec.model_validate_json(spec.model_dump_json()) == spec
    assert TypeAdapter(AnyStep).validate_python({"kind": "clip", "columns": ["a"]}) == Clip(columns=("a",))


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": ({"kind": "magic", "columns": ("a",)},)},
        {"steps": ({"kind": "impute", "columns": ()},)},
        {"steps": ({"kind": "impute", "columns": ("a",), "howe": "median"},)},
        {"steps": ({"kind": "impute", "columns": "everything"},)},
        {"steps": ({"kind": "hashed_text", "columns": ("a",), "ngrams": (3, 2)},)},
    ],
)
def test_wrong_steps_are_refused(fields: dict[str, typing.Any]) -> None:
    with pytest.raises(SpecError):
        FeatureSpec(**fields)


def test_limits_are_in_order() -> None:
    with pytest.raises(SpecError, match="wrong setting"):
        Clip(columns=("a",), low=0.9, high=0.1)
    with pytest.raises(SpecError, match="wrong setting"):
        Clip(columns=("a",), at_least=2.0, at_most=1.0)
    with pytest.raises(SpecError, match="wrong setting"):
        Robust(columns=("a",), low=0.5, high=0.5)
