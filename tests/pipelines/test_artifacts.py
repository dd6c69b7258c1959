from __future__ import annotations

import pytest

from pipelines.artifacts import write_json


def test_json_is_readable_private_and_whole(tmp_path):
    path = tmp_path / "facts.json"
    write_json(path, {"b": 1, "a": "é"})
    assert path.read_bytes() == '{\n "b": 1,\n "a": "é"\n}'.encode()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TypeError):
        write_json(path, {"b": object()})
    assert [each.name for each in tmp_path.iterdir()] == ["facts.json"]
    assert path.read_bytes().startswith(b"{")


def test_the_form_is_that_of_json_dumps(tmp_path):
    path = tmp_path / "facts.json"
    write_json(path, {"b": 1, "a": "é"}, indent=None, sort_keys=True, ensure_ascii=True)
    assert path.read_text() == '{"a": "\\u00e9", "b": 1}'
