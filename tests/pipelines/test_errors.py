from __future__ import annotations

import pytest

from pipelines import errors


@pytest.mark.parametrize(
    "cls", [errors.SpecError, errors.DataError, errors.GateError, errors.DeployError, errors.BackupError]
)
def test_round_trip_through_json(cls):
    error = cls("broken", where="file", seen=3, expected=4, cure="mend it", faults=["a", "b"])
    again = errors.from_dict(error.to_dict())
    assert type(again) is cls
    assert str(again) == str(error)
    assert "cure: mend it" in str(again)


def test_faults_are_capped_and_counted():
    error = errors.DataError("broken", faults=[str(n) for n in range(100)])
    assert len(error.faults) == errors.MAX_FAULTS + 1
    assert error.faults[-1] == "… and 80 more"


def test_unknown_kind_is_the_base_error():
    assert type(errors.from_dict({"kind": "New", "what": "x"})) is errors.AimassError
