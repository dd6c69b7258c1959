"""`aimass delete`: versions, nights, or a model as a whole; what is in use is refused, what goes is listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from pipelines.artifacts import night_slug
from pipelines.cli.show import require_model
from pipelines.errors import SpecError
from pipelines.exchange import EVALUATIONS
from pipelines.housekeeping.imports import is_over
from pipelines.housekeeping.items import Item, folder_item, old_folders, size_of
from pipelines.housekeeping.versions import delete_version, files_of, holds
from pipelines.ledger import Ledger
from pipelines.ledger.nights import IMPORTED
from pipelines.ledger.reference_models import best_ever
from pipelines.ledger.versions import DELETED
from pipelines.settings import Settings
from pipelines.spec import did_you_mean
from pipelines.storage import remote_of

ROOMS = ("nights", "models", "history", "predictions")
"""Parts of the storage with a folder for each model."""
ASKED = "asked for"
CHAMPION_DAYS = 30
"""How long a version that was live cannot be deleted by hand."""
A_NIGHT_AT_MOST = timedelta(days=1)


def plan(
    settings: Settings, ledger: Ledger, name: str, versions: Sequence[int], nights: Sequence[str], actor: str, why: str
) -> list[Item]:
    """Return what would go, in the order in which it goes; with neither versions nor nights it is all of the model.

    Raises
    ------
    SpecError
        Something is in use or does not exist; it names all that stands against it, and what to do.
    """
    require_model(ledger, name)
    if faults := [*_of_versions(ledger, name, versions), *_of_nights(settings, ledger, name, nights, versions)]:
        raise _refused(name, faults)
    if not versions and not nights:
        return list(_whole_model(settings, ledger, name, actor, why))
    found = [_version_item(settings, ledger, name, version, actor, why) for version in dict.fromkeys(versions)]
    for night in dict.fromkeys(nights):
        found += _night_items(settings, ledger, name, night, actor, why)
    return found


def _running(settings: Settings, ledger: Ledger, name: str) -> list[str]:
    """Return the nights that run; one that was begun days ago was killed, and so was an import without its process."""
    since = datetime.now(UTC) - A_NIGHT_AT_MOST
    rows = [row for row in ledger.nights(name) if row.state == "running" and row.started_at > since]
    return [row.night for row in rows if row.source != IMPORTED or not is_over(settings, row)]


def _of_versions(ledger: Ledger, name: str, versions: Sequence[int]) -> Iterator[str]:
    held, known = {**_lately(ledger, name), **holds(ledger, name)}, [row.version for row in ledger.versions(name)]
    for version in versions:
        if version not in known:
            yield f"version {version}: there is none; there are {', '.join(map(str, known)) or 'no versions'}"
        elif version in held:
            yield f"version {version}: {held[version]}; {_cure(name, held[version])}"


def _lately(ledger: Ledger, name: str) -> dict[int, str]:
    """Return the versions that were live lately, and the one that nights are compared with, each with the reason."""
    found: dict[int, str] = {}
    rows, switches = ledger.versions(name), ledger.history(name)
    best = best_ever(rows, switches)
    if best is not None:
        found[best.version] = "nights are compared with it, the best that ever was live"
    since = datetime.now(UTC) - timedelta(days=CHAMPION_DAYS)
    for row in switches:  # who was replaced was live until then
        if row.at > since and row.from_version is not None:
            found[row.from_version] = (
                f"it was live until {row.at:%Y-%m-%d %H:%M} UTC, less than {CHAMPION_DAYS} days ago"
            )
    return found


def _cure(name: str, reason: str) -> str:
    if "compared" in reason:
        return "wait until a better one was live, or delete the model as a whole"
    if "days ago" in reason:
        return f"wait until {CHAMPION_DAYS} days are over: callers may ask why they got its predictions"
    if "live" in reason:
        return f"aimass rollback {name} --why TEXT makes another one live first"
    if "service" in reason:
        return "wait until then: it is the quick way back"
    return f"aimass releases {name} tells how far it is"


def _of_nights(
    settings: Settings, ledger: Ledger, name: str, nights: Sequence[str], versions: Sequence[int]
) -> Iterator[str]:
    known = {row.night: row for row in ledger.nights(name) if row.state != DELETED}
    made = {row.night: row.version for row in ledger.versions(name) if row.version not in versions}
    for night in nights:
        if night not in known:
            yield f"night {night}: there is none{did_you_mean(night, known)}; aimass nights {name} lists them"
        elif night in _running(settings, ledger, name):
            yield f"night {night}: it is running; wait for its end, or stop it in Airflow"
        elif night in made:
            yield f"night {night}: it made version {made[night]}; delete that too: --version {made[night]}"


def _refused(name: str, faults: list[str]) -> SpecError:
    return SpecError(
        "this cannot be deleted",
        where=name,
        seen=f"{len(faults)} reasons" if len(faults) > 1 else faults[0],
        cure="nothing was deleted; leave out what is in use, or do what each line says",
        faults=faults if len(faults) > 1 else [],
    )


def _version_item(settings: Settings, ledger: Ledger, name: str, version: int, actor: str, why: str) -> Item:
    row = ledger.version(name, version)
    assert row is not None  # checked before
    size = sum(map(size_of, files_of(settings, ledger, row)))
    remove = partial(delete_version, settings, ledger, row, actor, why)
    return Item("versions", f"version {version}: model directory, bento, run in MLflow", size, ASKED, remove)


def _night_items(settings: Settings, ledger: Ledger, name: str, night: str, actor: str, why: str) -> Iterator[Item]:
    slug = night_slug(night)
    others = [row.night for row in ledger.nights(name) if row.night != night]
    named = {row.ref["uri"] for other in others for row in ledger.stages(name, other) if row.ref}

    def forget() -> bool:
        ledger.mark_night_deleted(name, night, actor, why)
        return True

    yield Item("results", f"night {night}: its stages in the ledger", 0, ASKED, forget)
    now = datetime.now(UTC) + A_NIGHT_AT_MOST
    where = f"nights/{name}/{slug}"
    yield from old_folders(  # not what another night re-uses
        settings, "results", where, "*", now, lambda uri: "" if uri in named else ASKED
    )
    pages = settings.docs / name / "nights"
    runs = settings.airflow_home / "logs" / f"dag_id=retrain_{name}"
    for path in (
        settings.calls / name / slug,
        pages / f"{slug}.html",
        pages / f"{slug}.card.html",
        runs / f"run_id={night}",
    ):
        if path.exists():
            yield folder_item(settings, "calls", path, ASKED)


def _whole_model(settings: Settings, ledger: Ledger, name: str, actor: str, why: str) -> Iterator[Item]:
    live = ledger.route(name)
    faults = [f"night {night}: it is running" for night in _running(settings, ledger, name)]
    under_way = [row for row in ledger.rollouts(name) if row.state in ("running", "paused")]
    faults += [f"version {row.version}: its release is under way; aimass releases {name}" for row in under_way]
    if live is not None and name not in ledger.paused():
        faults.append(f"version {live} is live and callers may ask it: aimass pause {name} --why TEXT first")
    if faults:
        raise _refused(name, faults)

    def end() -> bool:
        ledger.end_route(name)
        return True

    yield Item("versions", f"what is live of {name}" + (f": version {live}" if live else ""), 0, ASKED, end)
    for row in ledger.versions(name):
        yield _version_item(settings, ledger, name, row.version, actor, why)
    for night in [row.night for row in ledger.nights(name) if row.state != DELETED]:
        yield Item("results", f"night {night}", 0, ASKED, partial(_forget, ledger, name, night, actor, why))
    remote = remote_of(settings)
    if remote is not None:
        for where in [f"{room}/{name}" for room in ROOMS]:
            if size := sum(each.bytes for each in remote.store.list(f"{where}/")):
                remove = partial(remote.remove, where)
                yield Item("results", remote.store.where(where), size, ASKED, remove, elsewhere=True)
    for path in _folders(settings, name):
        if path.is_symlink() or path.exists():
            yield folder_item(settings, "results", path, ASKED)

    def settle() -> bool:
        if name in ledger.paused():
            ledger.resume(name, actor, f"the model was deleted: {why}")
        for alert in ledger.alerts():
            if alert.model == name:
                ledger.resolve_alert(name, alert.key)
        return True

    yield Item("logs", "its open alerts", 0, ASKED, settle)


def _forget(ledger: Ledger, name: str, night: str, actor: str, why: str) -> bool:
    ledger.mark_night_deleted(name, night, actor, why)
    return True


def _folders(settings: Settings, name: str) -> list[Path]:
    link = settings.docs / name
    shown = [link, link.resolve()] if link.is_symlink() else [link]
    rooms = [settings.storage / room / name for room in ROOMS]
    bentos = settings.bentoml_home / "bentos" / name.replace("_", "-")
    logs = settings.airflow_home / "logs" / f"dag_id=retrain_{name}"
    pages = [*shown, settings.docs / "_operation" / f"{name}.html", settings.docs / EVALUATIONS / name]
    return [*rooms, bentos, settings.calls / name, *pages, logs]
