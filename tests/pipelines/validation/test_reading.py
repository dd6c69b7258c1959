"""Suites that people have edited: every fault is named, none is met by a later step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import SpecError
from pipelines.validation.reading import read_suite

RULE: dict[str, Any] = {"type": "expect_column_to_exist", "kwargs": {"column": "age"}, "severity": "warning"}


def seen(path: Path) -> str:
    with pytest.raises(SpecError, match="cannot be read") as error:
        read_suite(path)
    assert error.value.where == str(path)
    assert error.value.cure
    return f"{error.value.seen} {error.value.expected} {' '.join(error.value.faults)}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{\n "expectations": [\n {"type" "x"}]}', "line 3, column 10"),
        (b"\xff\xfe{", "UTF-8"),
        (b'{"expectations": [{"type": "x", "kwargs": {"mostly": NaN}}]}', "NaN"),
        (b"[1]", "list 'expectations'"),
        (b'{"rules": []}', "list 'expectations'"),
        (b'{"expectations": {"a": 1}}', "list 'expectations'"),
        (b'{"meta": ["x"], "expectations": [{"type": "x", "kwargs": {}}]}', "'meta' of the suite"),
        (b'{"meta": {"declined": "x"}, "expectations": [{"type": "x", "kwargs": {}}]}', "'declined'"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_what_is_no_suite_is_said(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "suite.json").write_bytes(content)
    assert told in seen(tmp_path / "suite.json")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"type": None}, "'type'"),
        ({"type": ""}, "'type'"),
        ({"kwargs": None}, "'kwargs'"),
        ({"kwargs": []}, "'kwargs'"),
        ({"kwargs": {"column": 3}}, "'column'"),
        ({"kwargs": {"column_list": "a"}}, "'column_list'"),
        ({"severity": "hard"}, "critical stops the night"),
        ({"id": 7}, "'id'"),
        ({"meta": "a note"}, "'meta'"),
        ({"meta": {"learned": 5}}, "'learned'"),
        ({"meta": {"learned": ""}}, "'learned'"),
    ],
)
def test_rules_out_of_form_are_named(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"expectations": [RULE, RULE | change, "text"]}))
    text = seen(path)
    assert told in text
    assert "rule 2" in text
    assert 'rule 3: "text"' in text
    path.write_text(json.dumps({"expectations": [RULE], "meta": None}))
    assert read_suite(path)["expectations"] == [RULE]
