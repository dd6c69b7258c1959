from __future__ import annotations

import json

import pytest

from pipelines.gateway.errors import RequestError
from pipelines.gateway.request_body import MAX_ROWS, parse_instances


def test_rows_of_plain_cells_come_out():
    body = json.dumps({"instances": [{"a": 1.5, "b": "Łódź", "c": None, "d": True, "e": 7}]}).encode()
    assert parse_instances(body) == [{"a": 1.5, "b": "Łódź", "c": None, "d": True, "e": 7}]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[" * 500_000, "nested too deeply"),
        (b'{"instances":[{"a":NaN}]}', "not valid JSON"),
        (b'{"instances":[{"a":-Infinity}]}', "not valid JSON"),
        (b'{"instances":[{"a":1e309}]}', "not valid JSON"),
        (b'{"instances":[{"a":' + b"9" * 5000 + b"}]}", "not valid JSON"),
        (b'{"instances":[{"a":1,"a":2}]}', "not valid JSON"),
        (b'{"instances":[{"a":1}],"instances":[{"a":2}]}', "not valid JSON"),
        (b'{"instances":[{"a":"\xff"}]}', "not valid UTF-8"),
        (b'{"instances":[{"a":"\\ud800"}]}', "not valid UTF-8"),
        ('{"instances":[{"a":1}]}'.encode("utf-16"), "not valid"),
        (b'{"instances":[3]}', "a row is not an object"),
        (b'{"instances":[]}', "wrong number of rows"),
        (b'{"instances":{}}', "wrong number of rows"),
        (b'{"instances":[{}],"more":1}', "wrong shape"),
        (b"{}", "wrong shape"),
        (b"[]", "wrong shape"),
        (b"null", "wrong shape"),
        (b'"instances"', "wrong shape"),
    ],
)
def test_anything_else_is_refused(body, what):
    with pytest.raises(RequestError, match=what) as caught:
        parse_instances(body)
    assert caught.value.status == 400
    assert len(caught.value.error["seen"]) <= 200


def test_rows_are_limited():
    assert len(parse_instances(json.dumps({"instances": [{}] * MAX_ROWS}).encode())) == MAX_ROWS
    with pytest.raises(RequestError, match="wrong number of rows"):
        parse_instances(json.dumps({"instances": [{}] * (MAX_ROWS + 1)}).encode())


def test_nested_values_pass_for_the_model_may_not_need_them():
    rows = parse_instances(b'{"instances":[{"a":1,"tags":["x",{"y":[2]}],"b":{}}]}')
    assert rows == [{"a": 1, "tags": ["x", {"y": [2]}], "b": {}}]
