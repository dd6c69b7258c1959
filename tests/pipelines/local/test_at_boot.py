"""What starts the platform with the machine; systemctl, loginctl and crontab are scripts that note their calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.errors import AimassError
from pipelines.local import at_boot
from pipelines.settings import Settings

FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
[ "$(basename "$0") $1" = "crontab -l" ] && cat "$CALLS.crontab" 2>/dev/null
[ "$(basename "$0") $1" = "crontab -" ] && cat >"$CALLS.crontab"
exit 0
"""


@pytest.fixture
def machine(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose commands are the fakes in the folder; no keeper is started."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("systemctl", "loginctl", "crontab"):
        (folder / name).write_text(FAKE)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("AIMASS_GATEWAY_PORT", "18000")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgresql://someone:canary@db/shop")
    monkeypatch.setenv("AIMASS_PLATFORM", "mark")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setattr(at_boot, "SYSTEM_UNITS", tmp_path / "units")
    monkeypatch.setattr(at_boot, "SYSTEMD", tmp_path / "systemd")
    monkeypatch.setattr(at_boot, "command_of", lambda of: ["/bin/true", "a b", '50 % "$HOME"', str(of.home)])
    return tmp_path


def calls(machine: Path) -> list[str]:
    return (machine / "calls").read_text().splitlines()


@pytest.mark.parametrize("root", [True, False])
def test_systemd_starts_and_restarts_it(
    home: Settings, machine: Path, monkeypatch: pytest.MonkeyPatch, root: bool
) -> None:
    (machine / "systemd").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    said = at_boot.install(home)
    file = at_boot.unit_file(home)
    assert file.parent == (machine / "units" if root else machine / "config" / "systemd" / "user")
    assert f"unit: {file}" in said
    text = file.read_text()
    assert at_boot.install(home) == said
    assert file.read_text() == text, "once more changes nothing"
    assert "Restart=always" in text
    assert "canary" not in text
    kept = at_boot.environment_file(home)
    assert kept.stat().st_mode & 0o777 == 0o600
    environment = json.loads(kept.read_text())
    assert environment["AIMASS_HOME"] == str(home.home)
    assert environment["AIMASS_GATEWAY_PORT"] == "18000"
    assert environment["AIRFLOW_CONN_SHOP"].endswith("shop")
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318", "traces go on after a boot"
    assert not {"AIMASS_PLATFORM", "CALLS"} & set(environment)
    user = "" if root else "--user "
    assert calls(machine)[:2] == [f"systemctl {user}daemon-reload", f"systemctl {user}enable --now {file.name}"]
    assert ("loginctl enable-linger" in calls(machine)) is not root
    removed = at_boot.remove(home)
    assert {str(file), str(kept)} <= set(removed)
    assert not file.exists()
    assert not kept.exists()
    assert f"systemctl {user}disable --now {file.name}" in calls(machine)
    assert at_boot.remove(home) == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit(home: Settings, machine: Path) -> None:
    file = machine / at_boot.name_of(home)
    file.write_text(at_boot.unit_text(home))
    checked = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert file.name not in checked.stderr, checked.stderr
    assert (checked.returncode, checked.stdout) == (0, "")


def test_cron_where_there_is_no_systemd(home: Settings, machine: Path) -> None:
    (machine / "calls.crontab").write_text("5 4 * * * other\n")
    for _ in range(2):
        at_boot.install(home)
        first, line = (machine / "calls.crontab").read_text().splitlines()
        assert first == "5 4 * * * other"
        assert line.startswith("@reboot /bin/true 'a b' '50 \\% ")
        assert line.endswith(f"# {at_boot.name_of(home)}")
    assert at_boot.environment_file(home).exists()
    assert "line of crontab" in at_boot.remove(home)
    assert (machine / "calls.crontab").read_text() == "5 4 * * * other\n"


def test_neither_is_an_error_that_says_what_to_run(home: Settings, machine: Path) -> None:
    (machine / "bin" / "crontab").unlink()
    if shutil.which("crontab"):
        pytest.skip("this machine has cron")
    with pytest.raises(AimassError, match="nothing here starts programs at boot") as caught:
        at_boot.install(home)
    assert "/bin/true" in caught.value.cure
    assert not at_boot.environment_file(home).exists()


def test_what_the_system_refuses_is_told(home: Settings, machine: Path) -> None:
    (machine / "systemd").mkdir()
    (machine / "bin" / "systemctl").write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2; exit 1\n")
    with pytest.raises(AimassError) as caught:
        at_boot.install(home)
    assert "Failed to connect to bus" in caught.value.seen
