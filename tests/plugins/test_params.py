"""The trigger form and how it is laid over specs."""

from __future__ import annotations

import pytest
from aimass_airflow.params import STOP, check, effective, effective_of_all, form

from pipelines import stages
from pipelines.errors import SpecError
from pipelines.features.spec import FeatureSpec
from pipelines.ingestion.spec import IngestSpec
from pipelines.sampling.spec import SampleSpec
from pipelines.splitting.spec import SplitSpec
from pipelines.tuning.spec import FAMILIES, TuneSpec


def test_form_has_titles_descriptions_and_schema() -> None:
    fields = form([SampleSpec(fraction=0.5), TuneSpec(trials=12)])
    assert list(fields) == ["sample__fraction", "tune__budget_seconds", "tune__trials", "tune__families", STOP]
    for name, param in fields.items():
        assert param.schema["title"]
        assert param.description
        assert param.value is (False if name == STOP else None), "empty must mean: as in the DAG file"
    assert "(0.5)" in fields["sample__fraction"].description
    assert set(TuneSpec().families) < set(fields["tune__families"].schema["examples"]) == set(FAMILIES)
    assert fields["tune__trials"].resolve(8) == 8


@pytest.mark.parametrize(
    ("name", "value"), [("sample__fraction", 1.5), ("tune__trials", 0), ("tune__families", ["nope"]), (STOP, "yes")]
)
def test_form_refuses_what_the_schema_forbids(name: str, value: object) -> None:
    with pytest.raises(Exception, match=r"Failed validating|is not|greater than|less than|maximum|minimum"):
        form([SampleSpec(), TuneSpec()])[name].resolve(value)


def test_stage_of_a_spec() -> None:
    names = [stages.of_spec(spec).name for spec in (SampleSpec(), FeatureSpec(), TuneSpec())]
    assert names == ["sample", "features", "tune"]


def test_absent_and_empty_values_change_nothing() -> None:
    spec = TuneSpec(trials=12)
    given = {"tune__trials": None, "tune__families": [], STOP: False, "sample__fraction": 0.1}
    assert effective("tune", spec, given) is spec


def test_values_are_laid_over_and_validated() -> None:
    assert effective("sample", SampleSpec(), {"sample__fraction": 0.25}).fraction == 0.25
    with pytest.raises(SpecError, match="SampleSpec has 1 wrong setting"):
        effective("sample", SampleSpec(), {"sample__fraction": 7})


def test_seconds_given_by_hand_win_over_trials_of_the_file() -> None:
    spec = effective("tune", TuneSpec(trials=12), {"tune__budget_seconds": 30})
    assert (spec.budget_seconds, spec.trials) == (30, None)


def test_unknown_field_and_unknown_stage_are_named() -> None:
    with pytest.raises(SpecError, match="sample__fractoin"):
        effective("sample", SampleSpec(), {"sample__fractoin": 0.5})
    with pytest.raises(SpecError, match="smaple__fraction"):
        check({"smaple__fraction": 0.5, "free_text": 1})


def test_faults_of_all_stages_come_at_once() -> None:
    specs = {"sample": SampleSpec(), "tune": TuneSpec()}
    with pytest.raises(SpecError) as caught:
        effective_of_all(specs, {"sample__fraction": 2, "tune__trials": 0})
    assert len(caught.value.faults) == 2
    given = effective_of_all(specs, {"tune__trials": 5})
    assert (given["sample"], given["tune"]) == (SampleSpec(), TuneSpec(trials=5))


def test_the_entity_that_rows_are_divided_by_seals_them_too() -> None:
    ingest, group = IngestSpec(source="a.csv", seal_share=0.2), ("subject", "ward")
    specs = {"ingest": ingest, "split": SplitSpec(group=group)}
    found = effective_of_all(specs, {"split__folds": 3})
    assert found["ingest"] == IngestSpec(source="a.csv", seal_share=0.2, seal_group=group)
    assert found["split"] == SplitSpec(group=group, folds=3)
    assert effective_of_all(specs, {"split__group": ["ward"]})["ingest"].seal_group == ("ward",)  # type: ignore[attr-defined]
    assert effective_of_all({"ingest": ingest, "split": SplitSpec()}, {})["ingest"] is ingest
    assert effective_of_all({"ingest": ingest}, {})["ingest"] is ingest


@pytest.mark.parametrize("group", [(), ("subject",)])
def test_two_entities_are_refused(group: tuple[str, ...]) -> None:
    specs = {"ingest": IngestSpec(source="a.csv", seal_group=("ward",)), "split": SplitSpec(group=group)}
    with pytest.raises(SpecError, match="sealed by one entity and divided by another"):
        effective_of_all(specs, {})
