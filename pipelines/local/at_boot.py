"""`aimass up --at-boot`: a systemd unit, or a line of cron, that starts the platform with the machine and keeps it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from pipelines.artifacts import write_atomic
from pipelines.errors import AimassError
from pipelines.local.processes import mark_of
from pipelines.settings import Settings, make_private

SYSTEMD = Path("/run/systemd/system")
"""There where systemd runs this machine."""
SYSTEM_UNITS = Path("/etc/systemd/system")
CARRIED = re.compile("AIMASS_(?!PLATFORM)|AIRFLOW_CONN_|AWS_|OTEL_|(PATH|LANG|TZ)$")
"""Variables that the platform is started with at boot as it is now; others are added to the file by hand."""
UNIT = """\
[Unit]
Description=AI Mass, {home}
After=network.target

[Service]
ExecStart={command}
Restart=always
RestartSec=30
KillMode=mixed
TimeoutStopSec=120
UMask=0077

[Install]
WantedBy={target}
"""


def name_of(settings: Settings) -> str:
    """Return the name of the unit of this home."""
    return f"aimass-{mark_of(settings)[:8]}.service"


def environment_file(settings: Settings) -> Path:
    """Return the 0600 file with the environment of the platform at boot; while it exists, the platform is kept."""
    return settings.secrets / "at_boot.json"


def command_of(settings: Settings) -> list[str]:
    """Return the command that keeps the platform; it holds no secret."""
    return [sys.executable, "-P", "-m", "pipelines.local.keep", str(environment_file(settings))]


def unit_file(settings: Settings) -> Path:
    """Return where the unit is written: of the system for root, else of the user."""
    if os.geteuid() == 0:
        return SYSTEM_UNITS / name_of(settings)
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return config / "systemd" / "user" / name_of(settings)


def unit_text(settings: Settings) -> str:
    """Return the unit."""
    target = "multi-user.target" if os.geteuid() == 0 else "default.target"
    words = " ".join(f'"{_escaped(word)}"' for word in command_of(settings))
    return UNIT.format(home=_escaped(str(settings.home)), command=words, target=target)


def _escaped(text: str) -> str:
    """Return a text as systemd reads it back: no specifier, no variable, no end of the quotation."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")


def install(settings: Settings) -> list[str]:
    """Let the platform start with the machine; again changes nothing. Return what was written, line by line.

    Raises
    ------
    AimassError
        Neither systemd nor cron is here, or one of them refuses.
    """
    settings.ensure()
    kept = {name: value for name, value in os.environ.items() if CARRIED.match(name)}
    kept |= {"AIMASS_HOME": str(settings.home), "AIMASS_DAGS_FOLDER": str(settings.dags)}
    said = [f"environment at boot: {environment_file(settings)}"]
    if SYSTEMD.is_dir():
        file = unit_file(settings)
        _write(environment_file(settings), json.dumps(kept, indent=1))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, unit_text(settings))
        file.chmod(0o644)
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", file.name)
        if os.geteuid():
            _call("loginctl", "enable-linger")  # else it would begin at the first login, and end with the last
        return [f"unit: {file}", *said, f"its log: journalctl {'' if os.geteuid() == 0 else '--user '}-u {file.name}"]
    if shutil.which("crontab") is None:
        raise AimassError(
            "nothing here starts programs at boot",
            seen="neither systemd nor cron",
            expected=f"{SYSTEMD}, or the command crontab",
            cure=f"let the machine run this when it starts, as this user: {shlex.join(command_of(settings))}",
        )
    _write(environment_file(settings), json.dumps(kept, indent=1))
    log = settings.logs / "keep.log"
    line = f"@reboot {shlex.join(command_of(settings))} >>{shlex.quote(str(log))} 2>&1 # {name_of(settings)}"
    _set_crontab([*_other_lines(settings), line.replace("%", "\\%")])
    with log.open("ab") as stream:
        log.chmod(0o600)
        subprocess.Popen(
            command_of(settings), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )
    return [f"line of crontab: {line}", *said, f"its log: {log}"]


def remove(settings: Settings) -> list[str]:
    """Let the platform no longer start with the machine; return what was removed."""
    removed = []
    file = unit_file(settings)
    if file.exists():
        if SYSTEMD.is_dir():
            _systemctl("disable", "--now", file.name)
        file.unlink()
        if SYSTEMD.is_dir():
            _systemctl("daemon-reload")
        removed.append(str(file))
    if shutil.which("crontab") is not None:
        others = _other_lines(settings)
        if others != _lines():
            _set_crontab(others)
            removed.append("line of crontab")
    if environment_file(settings).exists():
        environment_file(settings).unlink()  # whoever keeps the platform ends when it is gone
        removed.append(str(environment_file(settings)))
    return removed


def _write(path: Path, text: str) -> None:
    make_private(path.parent)
    write_atomic(path, text)


def _lines() -> list[str]:
    done = subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def _other_lines(settings: Settings) -> list[str]:
    return [line for line in _lines() if not line.endswith(f"# {name_of(settings)}")]


def _set_crontab(lines: list[str]) -> None:
    _call("crontab", "-", given="".join(f"{line}\n" for line in lines))


def _systemctl(*words: str) -> None:
    _call("systemctl", *([] if os.geteuid() == 0 else ["--user"]), *words)


def _call(*command: str, given: str | None = None) -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AimassError(
            "the system refuses to start the platform at boot",
            where=shlex.join(command),
            seen=(done.stderr or done.stdout).strip()[:500] or f"exit code {done.returncode}",
            cure="correct what it names, then run aimass up --at-boot again",
        )
