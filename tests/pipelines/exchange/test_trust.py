"""A key is trusted when somebody says so, and then it stays so, in a file that nobody else may touch."""

from __future__ import annotations

import stat

import pytest

from pipelines.errors import SpecError
from pipelines.exchange.trust import fingerprint, remember_key, require_trusted, trusted_file, trusted_keys
from pipelines.secret_files import public_key
from pipelines.settings import Settings

KEY, OTHER = bytes(range(32)), bytes(32)


def test_the_own_key_is_trusted_and_others_are_named(home: Settings) -> None:
    require_trusted(home, public_key(home), None, "a.zip")
    with pytest.raises(SpecError) as refused:
        require_trusted(home, KEY, None, "a.zip")
    assert f"--trust-key {fingerprint(KEY)}" in str(refused.value)
    with pytest.raises(SpecError, match="another key"):
        require_trusted(home, KEY, fingerprint(OTHER), "a.zip")
    require_trusted(home, KEY, fingerprint(KEY), "a.zip")
    assert not trusted_file(home).exists()  # to look at it trusts nothing


def test_keys_are_remembered_once(home: Settings) -> None:
    for key in (KEY, OTHER, KEY, public_key(home)):
        remember_key(home, key, "a.zip")
    assert trusted_file(home).read_text() == f"{KEY.hex()} a.zip\n{OTHER.hex()} a.zip\n"
    assert stat.S_IMODE(trusted_file(home).stat().st_mode) == 0o600
    assert trusted_keys(home) == {KEY, OTHER, public_key(home)}


def test_a_file_that_others_may_read_or_with_a_bad_line_is_refused(home: Settings) -> None:
    remember_key(home, KEY, "a.zip")
    trusted_file(home).chmod(0o644)
    with pytest.raises(SpecError, match="chmod 600"):
        trusted_keys(home)
    trusted_file(home).chmod(0o600)
    trusted_file(home).write_text("# ours\n\nabc someone\n")
    with pytest.raises(SpecError, match="trusted_keys:3"):
        trusted_keys(home)
