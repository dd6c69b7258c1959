"""Tells whether a container works: exit code 0 or 1, and the reason in one line.

    python healthy.py url https://127.0.0.1:8000/healthz            # answers 200
    python healthy.py url https://airflow:8080/api/v2/monitor/health scheduler triggerer   # and these parts are healthy
    python healthy.py port dask-scheduler:8786                      # accepts a connection
    python healthy.py parts celery-worker                           # the supervisor here runs them

A certificate is checked against the authority in AIMASS_TLS_CA.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import urllib.request

SECONDS = 5.0


def url(address: str, *parts: str) -> str:
    """Return what is wrong with a page; the parts are those of Airflow's health."""
    context = ssl.create_default_context(cafile=os.environ.get("AIMASS_TLS_CA")) if address[:6] == "https:" else None
    with urllib.request.urlopen(address, timeout=SECONDS, context=context) as reply:  # noqa: S310 - given by compose
        told = json.load(reply) if parts else {}
    sick = {part: told.get(part, {}).get("status") for part in parts if told.get(part, {}).get("status") != "healthy"}
    return f"not healthy: {sick}" if sick else ""


def port(address: str) -> str:
    """Return what is wrong with a port: a connection that fails raises."""
    host, _, number = address.rpartition(":")
    socket.create_connection((host, int(number)), SECONDS).close()
    return ""


def parts(*names: str) -> str:
    """Return which parts the supervisor of this home does not run."""
    from pipelines.local import supervisor
    from pipelines.settings import load

    running = supervisor.recall(load())
    if running is None or not running.alive():
        return "the supervisor does not run"
    states = running.call("status").get("statuses", {})
    down = {name: states.get(name, "absent") for name in names if states.get(name) != "active"}
    return f"not running: {down}" if down else ""


def main(words: list[str]) -> int:
    """Check once."""
    kind, *given = words
    try:
        wrong = {"url": url, "port": port, "parts": parts}[kind](*given)
    except OSError as error:
        wrong = f"{' '.join(given)}: {error}"
    if wrong:
        sys.stderr.write(wrong + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
