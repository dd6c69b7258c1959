from __future__ import annotations

import json
import time

import pytest

from pipelines.gateway.errors import RequestError
from pipelines.gateway.json_body import parse_json


def test_json_is_read_as_it_stands():
    content = {
        "instances": [{"a": 1.5, "b": "Łódź 12:30", "c": None, "d": True, "e": 7, "big": 10**30, "n": [{"x": {}}]}]
    }
    assert parse_json(json.dumps(content).encode()) == content
    assert parse_json(json.dumps(content, ensure_ascii=False).encode()) == content


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
        (b'{"instances":[{"a":1,"a":2}]}', "a key stands twice: a"),
        (b'{"instances":[{"a":1}],"instances":[{"a":2}]}', "a key stands twice: instances"),
        (b'{"instances":[{"a":":","a":2}]}', "a key stands twice: a"),
        (b'{"instances":[{"a":1,"n":[[{"b":1,"b":1}]]}]}', "a key stands twice: b"),
        (b'{"instances":[{"a":{"b":1},"a":2}]}', "a key stands twice: a"),
        (b'{"inputs":{"a":[1],"a":[":"]}}', "a key stands twice: a"),
        (b'{"instances":[{"a":1,"a":"\\u003a"}]}', "a key stands twice: a"),
        (b'{"instances":[{"\\u003A":1,"a":"{","a":2}]}', "a key stands twice: a"),
        (b'{"instances":[{"a":"10:30:00","a":"::"}]}', "a key stands twice: a"),
        (b'{"instances":[{"a":"\xff"}]}', "not valid UTF-8"),
        (b'{"instances":[{"a":"\\ud800"}]}', "not valid"),
        ('{"instances":[{"a":1}]}'.encode("utf-16"), "not valid"),
        (b"{} {}", "not valid JSON"),
    ],
)
def test_anything_else_is_refused(body, what):
    with pytest.raises(RequestError) as caught:
        parse_json(body)
    assert caught.value.status == 400
    assert what in f"{caught.value.error['what']} {caught.value.error['seen']}"
    assert len(caught.value.error["seen"]) <= 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[{"a:b":"10:30","c":["1:2",{"d:":":"}]},{"a:b":"{:}"}]}',
        b'{"inputs":{"at":["2026-01-01T10:00:00",null,":"]}}',
        b'{"instances":[{"a" : "\\u003a:"}]}',
        b'[[":"], {"a": {"b": ":"}}]',
        b'":"',
    ],
)
def test_colons_and_braces_in_texts_are_no_members(body):
    assert parse_json(body) == json.loads(body)


def test_a_body_with_times_is_read_once(monkeypatch):
    body = json.dumps({"instances": [{"at": f"2026-01-01T10:{index:02d}:00", "n": index} for index in range(60)]})
    monkeypatch.setattr(json, "loads", None)
    assert parse_json(body.encode())["instances"][7]["n"] == 7


def test_many_keys_that_stand_twice_take_no_time():
    keys = ",".join(f'"k{index % 20_000}":1' for index in range(40_000))
    started = time.process_time()
    with pytest.raises(RequestError, match="not valid JSON"):
        parse_json(f'{{"instances":[{{{keys}}}]}}'.encode())
    assert time.process_time() - started < 2.0
