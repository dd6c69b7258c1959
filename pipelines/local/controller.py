"""Runs the bentos that the ledger's serving table asks for: ``python -m pipelines.local.controller``.

A bento is a child of the supervisor, not of this process: it outlives the task that asked for it and a restart of
this loop. The loop compares the table with what the supervisor runs, acts on the difference and writes what it sees.
Where several hosts serve, each runs this loop over its own part of the table.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from circus.exc import CallError

from pipelines.alerting.postman import Postman
from pipelines.errors import AimassError, SpecError
from pipelines.inference.service.client import is_ready
from pipelines.inference.service.tls import Certificates
from pipelines.ledger import Ledger
from pipelines.ledger.rows import ServiceRow
from pipelines.local import supervisor
from pipelines.local.airflow_config import MARK
from pipelines.local.dead_man import all_well, tell_alone, watch_monitor
from pipelines.local.endpoints import Endpoints, Ports, Sockets
from pipelines.local.instance import Instance, State, Supervisor
from pipelines.local.log_files import rotate
from pipelines.local.parts import CircusParts
from pipelines.local.processes import end_idle_orphans, mark_of
from pipelines.local.serving_host import ServingHost
from pipelines.local.serving_usage import keep_serving_usage
from pipelines.settings import Settings, load

TICK_SECONDS = 0.5
PING_SECONDS = 1.0
LAST_WORDS_SECONDS = 4.0
"""That a channel may take when this process cannot go on: nobody watches the services until it is started again."""
DRAIN_SECONDS = 2.0
ORPHANS_EVERY = 30.0


def watcher_name(model: str, version: int, number: int = 1) -> str:
    """Return the supervisor's name of an instance of a bento."""
    return f"bento-{model}-v{version}" if number == 1 else f"bento-{model}-v{version}-{number}"


class Controller:
    """Runs one pass per ``tick``; all lasting state is in the ledger and in the supervisor."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger | ServingHost,
        parts: Supervisor,
        folder: Path,
        ready: Callable[[str], bool],
        endpoints: Endpoints | None = None,
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.parts = parts
        self.endpoints = endpoints or Sockets(settings, folder)
        self.ready = ready
        self.instances: dict[tuple[str, int], list[Instance]] = {}
        self.whole: dict[tuple[str, int], int] = {}
        """How many instances of a version were all ready at one time: it is ready with one of them from then on."""

    def tick(self) -> None:
        """Compare the desired services with the running ones, start or stop them, and record their state."""
        rows = self.ledger.serving()
        names = self.parts.names()
        for row in rows:
            if row.desired == "stop":
                self._stop(row, names)
            elif self._lease_is_over(row, rows):
                self.ledger.end_lease(row.model, row.version)  # the next pass stops it
            else:
                self._serve(row, names)
        wanted = {watcher_name(row.model, row.version, 1 + each) for row in rows for each in range(row.instances)}
        for orphan in names - wanted:
            if orphan.startswith("bento-"):
                self.parts.remove(orphan)

    def _lease_is_over(self, row: ServiceRow, rows: Sequence[ServiceRow]) -> bool:
        if row.until is None or row.until > datetime.now(UTC):
            return False
        live = self.ledger.route(row.model)
        # an earlier version answers while the live one cannot
        missed = not any(each.actual == "ready" for each in rows if (each.model, each.version) == (row.model, live))
        return row.version != live and not (live is not None and row.version < live and missed)

    def _serve(self, row: ServiceRow, names: set[str]) -> None:
        if row.actual == "failed":
            return
        key, now = (row.model, row.version), time.monotonic()
        instances = self._of(row)
        if stray := [each.name for each in instances if each.name in names and each.address not in row.addresses]:
            for name in stray:  # the loop ended between starting it and writing it down
                self.parts.remove(name)
            return
        if row.actual == "ready":
            self.whole.setdefault(key, row.instances)
        responsive = {each.name for each in instances if each.name in names and self.ready(each.address)}
        states: list[State] = []
        begun: list[tuple[Instance, list[str], dict[str, str]]] = []
        for each in instances:
            if each.name in names:
                known = row.pid if row.actual == "ready" else None
                spared = len(responsive - {each.name}) > 0
                states.append(each.look(self.parts, each.name in responsive, now, known=known, spared=spared))
            elif each.rests(now):
                states.append("failed")
            else:
                try:
                    begun.append((each, *self._command(row, each)))
                    states.append("starting")
                except AimassError as error:
                    states.append(each.fail(now, str(error)))
        if states.count("ready") == row.instances:
            self.whole[key] = row.instances
        whole = self.whole.get(key, 0) >= row.instances
        if failed := [each for each, state in zip(instances, states, strict=True) if state == "failed"]:
            all_of_it = not whole or len(failed) == row.instances
            for each in instances if all_of_it else failed:
                if each.name in names:
                    self.parts.remove(each.name)
            if all_of_it:
                self._fail(row, failed[0])
                return
        self._record(row, instances, states, whole)
        for each, command, environment in begun:
            try:
                self.parts.add(each.name, command, environment)
            except AimassError as error:
                each.fail(now, str(error))

    def _of(self, row: ServiceRow) -> list[Instance]:
        """Return the instances of a version, as many as are asked for."""
        known = self.instances.setdefault((row.model, row.version), [])
        del known[row.instances :]
        for number in range(len(known) + 1, row.instances + 1):
            name = watcher_name(row.model, row.version, number)
            recorded = row.addresses[number - 1] if number <= len(row.addresses) else None
            known.append(Instance(name, self.endpoints.address(name, recorded, self._taken())))
        return known

    def _taken(self) -> set[str]:
        return {each.address for instances in self.instances.values() for each in instances}

    def _command(self, row: ServiceRow, instance: Instance) -> tuple[list[str], dict[str, str]]:
        instance.forget()
        if instance.address not in row.addresses:  # nobody was told of it: another one took its place meanwhile
            instance.address = self.endpoints.address(instance.name, None, self._taken() - {instance.address})
        command, environment = self.endpoints.command(row.model, row.version, instance.address)
        return command, {**environment, MARK: mark_of(self.settings)}

    def _record(self, row: ServiceRow, instances: list[Instance], states: list[State], whole: bool) -> None:
        ready = states.count("ready")
        detail = "" if ready == row.instances or row.actual == "absent" else row.detail
        for each, state in zip(instances, states, strict=True):
            if state == "hung":
                detail = "did not respond, started again"
                self._alert(row, f"version {row.version} of {row.model} did not respond and was started again")
            elif state == "failed":
                detail = self._why(each)
                self._alert(row, f"an instance of {row.model} version {row.version} is not served: {detail}")
        actual = "ready" if ready and whole else "starting"
        address, pid = " ".join(each.address for each in instances), instances[0].pid
        if (row.actual, row.address, row.pid, row.detail) == (actual, address, pid, detail):
            return
        self.ledger.observe(row.model, row.version, actual, address=address, pid=pid, detail=detail)
        if ready == row.instances:
            self.ledger.resolve_alert(row.model, f"serving-{row.version}")

    def _stop(self, row: ServiceRow, names: set[str]) -> None:
        if running := names & {watcher_name(row.model, row.version, 1 + each) for each in range(row.instances)}:
            asked = (datetime.now(UTC) - row.updated_at).total_seconds()
            if asked >= DRAIN_SECONDS:  # the gateway has seen the table before the door closes
                for name in running:
                    self.parts.remove(name)
            return
        self._forget(row)
        if row.actual != "absent":
            self.ledger.observe(row.model, row.version, "absent")
            self.ledger.resolve_alert(row.model, f"serving-{row.version}")  # nobody wants it any more

    def _fail(self, row: ServiceRow, instance: Instance) -> None:
        self._forget(row)
        detail = self._why(instance)
        self.ledger.observe(row.model, row.version, "failed", detail=detail)
        self._alert(row, f"{row.model} version {row.version} cannot be served: {detail}")

    def _why(self, instance: Instance) -> str:
        log = self.settings.logs / f"{instance.name}.log"
        return f"{instance.why}; see {log}" if instance.since is not None else instance.why

    def _forget(self, row: ServiceRow) -> None:
        self.instances.pop((row.model, row.version), None)
        self.whole.pop((row.model, row.version), None)

    def _alert(self, row: ServiceRow, message: str) -> None:
        self.ledger.alert(row.model, "serving", message, key=f"serving-{row.version}")


def main() -> None:
    """Run the loop until this process is terminated."""
    settings = load()
    running = supervisor.recall(settings)
    if running is None:
        raise SystemExit("the platform does not run: start it with aimass up")
    try:
        _run(settings, running)
    except Exception as error:
        tell_alone(settings, error, seconds=LAST_WORDS_SECONDS)
        raise


def _run(settings: Settings, running: supervisor.RunningPlatform) -> None:
    beat = settings.controller_beat
    postman = Postman(settings, partial(tell_alone, settings), partial(all_well, settings))
    with Ledger.open(settings) as ledger, ExitStack() as stack:
        host = _serving_host(settings, ledger)
        ready = partial(is_ready, seconds=PING_SECONDS, certificates=Certificates.of(settings))
        parts, folder = CircusParts(settings, running), Path(running.folder)
        endpoints = None if host is None else Ports(settings, ledger)
        controller = Controller(settings, host or ledger, parts, folder, ready, endpoints)
        if host is not None:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            stack.enter_context(host.lease())
        unable: dict[str, int] = {}
        looked, since = 0.0, datetime.fromtimestamp(running.created, UTC)
        while True:
            try:
                controller.tick()
            except CallError as error:
                print(f"the supervisor does not respond: {error}", file=sys.stderr, flush=True)
            if time.monotonic() - looked > ORPHANS_EVERY:
                looked = time.monotonic()
                with suppress(OSError):  # a full disk is for the monitor to tell
                    rotate(settings.logs)
                watch_monitor(settings, ledger, since, datetime.now(UTC))
                postman.go()
                keep_serving_usage(host or ledger, unable, Certificates.of(settings))
                if host is not None:
                    host.watch_others(datetime.now(UTC))
                for pid in end_idle_orphans(settings, running.pid):
                    print(f"ended worker {pid} of a scheduler that was killed", file=sys.stderr, flush=True)
            beat.touch(mode=0o600)
            time.sleep(TICK_SECONDS)


def _serving_host(settings: Settings, ledger: Ledger) -> ServingHost | None:
    """Return this host as one of several that serve; None on one machine.

    Raises
    ------
    SpecError
        Others serve, and this one has no address at which their gateways reach it.
    """
    if settings.serve_address is not None:
        return ServingHost(ledger, settings)
    if others := [each.address for each in ledger.hosts() if each.live]:
        raise SpecError(
            "other hosts serve the models of this ledger, and this one has no address for them",
            where="AIMASS_SERVE_ADDRESS",
            seen=f"serving hosts {', '.join(others)}",
            expected="an address at which their gateways reach this host",
            cure="set it with the certificates (docs/guides/serving-hosts.md), or leave the controller out here",
        )
    return None


if __name__ == "__main__":
    main()
