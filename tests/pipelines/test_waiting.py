from __future__ import annotations

import pytest

from pipelines.waiting import wait_until


def test_what_is_seen_first_is_returned():
    script = [None, None, 0, 1]
    assert wait_until(lambda: script.pop(0), seconds=10, every=0.001) == 0
    assert script == [1]


def test_nothing_in_time_is_none_after_at_least_one_look():
    looks = []
    assert wait_until(lambda: looks.append(1), seconds=0, every=5) is None
    assert looks == [1]


def test_an_error_of_the_look_is_not_waited_out():
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0, seconds=10, every=0.001)
