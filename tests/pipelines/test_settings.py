from __future__ import annotations

import os
import stat

import pytest

from pipelines import secret_files
from pipelines import settings as settings_module
from pipelines.errors import SpecError


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folders_and_secrets_are_private_at_any_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        settings = settings_module.load(home=tmp_path / "deep" / "home").ensure()
        secret_files.secret(settings, "jwt")
        secret_files.signing_key(settings)
    finally:
        os.umask(before)
    assert {mode(path) for path in settings.home.rglob("*") if path.is_dir()} == {0o700}
    assert {mode(path) for path in settings.secrets.iterdir()} == {0o600}


def test_secrets_are_made_once_and_differ(home):
    first = secret_files.secret(home, "one")
    assert secret_files.secret(home, "one") == first
    assert secret_files.secret(home, "two") != first
    assert len(first) >= 43
    assert secret_files.public_key(home) == secret_files.public_key(home)
    assert len(secret_files.public_key(home)) == 32


def test_the_first_of_two_writers_wins(tmp_path):
    secret_files.write_once(tmp_path / "secret", "first")
    secret_files.write_once(tmp_path / "secret", "second")
    assert (tmp_path / "secret").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_home_is_found_upward(tmp_path, monkeypatch):
    monkeypatch.delenv("AIMASS_HOME", raising=False)
    (tmp_path / "project" / "dags" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project" / "dags" / "deep")
    assert settings_module.load().home == tmp_path / "project" / ".aimass"
    (tmp_path / ".aimass").mkdir()
    assert settings_module.load().home == tmp_path / ".aimass"
    assert settings_module.load().dags == tmp_path / "project" / "dags"


def test_a_home_elsewhere_uses_the_project_one_works_in(tmp_path, monkeypatch):
    monkeypatch.delenv("AIMASS_DAGS_FOLDER", raising=False)
    home = tmp_path / "state" / "home"
    (tmp_path / "project" / "dags").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    assert settings_module.load(home=home).dags == tmp_path / "project" / "dags"
    (tmp_path / "state" / "dags").mkdir(parents=True)
    assert settings_module.load(home=home).dags == tmp_path / "state" / "dags"


@pytest.mark.parametrize(
    ("field", "value"),
    [("host", "0.0.0.0"), ("host", "192.168.1.2"), ("airflow_port", 80), ("cores", 0), ("colour", "red")],
)
def test_wrong_settings_are_refused(field, value):
    with pytest.raises(SpecError) as caught:
        settings_module.load(**{field: value})
    assert field in str(caught.value)


def test_a_home_that_cannot_be_made_is_a_spec_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="cannot create a folder"):
        settings_module.load(home=tmp_path / "file" / "home").ensure()


def test_a_host_that_only_serves_verifies_with_the_public_key_and_makes_none(home, tmp_path):
    from cryptography.hazmat.primitives import serialization

    key = secret_files.public_key(home)
    private = serialization.load_pem_private_key(secret_files.signing_key(home).read_bytes(), password=None)
    other = settings_module.load(home=tmp_path / "other").ensure().model_copy(update={"serve_address": "10.0.0.1"})
    with pytest.raises(SpecError, match="no key to verify models with") as caught:
        secret_files.public_key(other)
    assert "openssl pkey" in caught.value.cure
    assert list(other.secrets.iterdir()) == []
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (other.secrets / "public_key.pem").write_bytes(private.public_key().public_bytes(*pem))
    assert secret_files.public_key(other) == key
    assert [path.name for path in other.secrets.iterdir()] == ["public_key.pem"]
