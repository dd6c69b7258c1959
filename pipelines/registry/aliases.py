"""Keeps MLflow's aliases a projection of the ledger: ``champion`` is live, ``challenger`` is promoted and waits."""

from __future__ import annotations

import logging
import sys

from pipelines.ledger import Ledger
from pipelines.registry.tracking import MODEL_TAG, VERSION_TAG, client, quiet_mlflow
from pipelines.settings import Settings, load

log = logging.getLogger(__name__)

ALERT = "mlflow-aliases"
MOVED = "mlflow-alias-moved"
"""Key of the alert about an alias that was moved by hand and put back; it ends with the next switch or night."""
CHAMPION = "champion"
PROJECTED_TAG = "aimass.champion"
"""Of a registered model: MLflow's number of the version that its alias ``champion`` was last given by the ledger."""


def reconcile(settings: Settings, ledger: Ledger, model: str, *, moved: bool = True) -> bool:
    """Bring the aliases of a model in line with the ledger; tell whether that worked.

    Never raises: serving does not depend on MLflow. A failure becomes a warning and an alert that the next
    success resolves.

    Parameters
    ----------
    moved
        Whether an alias that somebody moved by hand is put back; else it stays for the platform to judge.
    """
    try:
        _project(settings, wanted_aliases(ledger, model), model, moved)
    except Exception as error:  # noqa: BLE001  # whatever MLflow or its database raises must not fail a night
        log.warning("aliases of %s not reconciled: %s", model, error)
        text = f"MLflow aliases of {model} are out of date: {type(error).__name__}: {error}"[:500]
        ledger.alert(model, ALERT, text, ALERT)
        return False
    for key in (ALERT, MOVED):
        ledger.resolve_alert(model, key)
    return True


def wanted_aliases(ledger: Ledger, model: str) -> dict[str, int]:
    """Return version by alias, as the ledger has it: the newest promoted version above the live one is challenger."""
    live = ledger.route(model)
    waiting = [
        int(row.version)
        for row in ledger.versions(model)
        if row.state == "registered" and (row.verdict or {}).get("verdict") == "promoted" and row.version > (live or 0)
    ]
    wanted = {} if live is None else {"champion": live}
    if waiting:
        wanted["challenger"] = max(waiting)
    return wanted


def _project(settings: Settings, wanted: dict[str, int], model: str, moved: bool) -> None:
    api = client(settings)
    by_version = {
        item.tags.get(VERSION_TAG): str(item.version)
        for item in api.search_model_versions(f"name='{model}'", max_results=10_000)
    }
    registered = api.get_registered_model(model) if by_version else None
    current = {name: str(number) for name, number in registered.aliases.items()} if registered else {}
    tags = dict(registered.tags) if registered else {}
    if registered and tags.get(MODEL_TAG) != model:
        api.set_registered_model_tag(model, MODEL_TAG, model)
    for alias in ("champion", "challenger"):
        number = by_version.get(str(wanted.get(alias)))
        if alias in wanted and number is None:
            raise LookupError(f"MLflow has no version tagged {VERSION_TAG}={wanted[alias]}")
        if alias == CHAMPION:
            if not moved and moved_by_hand(current.get(alias), number, tags.get(PROJECTED_TAG)):
                log.warning("alias %s of %s was moved by hand: the platform judges it", alias, model)
                continue
            if number is not None and tags.get(PROJECTED_TAG) != number:  # both, should this end in between
                api.set_registered_model_tag(model, PROJECTED_TAG, f"{current.get(alias, '')} {number}".strip())
        if number is not None and current.get(alias) != number:
            api.set_registered_model_alias(model, alias, number)
        elif number is None and alias in current:
            api.delete_registered_model_alias(model, alias)
        if alias == CHAMPION and number is not None and tags.get(PROJECTED_TAG) != number:
            api.set_registered_model_tag(model, PROJECTED_TAG, number)


def moved_by_hand(alias: str | None, live: str | None, projected: str | None) -> bool:
    """Tell whether somebody moved the alias, rather than that it lags behind a switch.

    Parameters
    ----------
    alias, live
        MLflow's numbers of the versions that the alias names and that is live; None: there is none.
    projected
        The tag :data:`PROJECTED_TAG`: what was projected last; two numbers while that is under way.
    """
    return alias is not None and projected is not None and alias != live and alias not in projected.split()


def main(arguments: list[str]) -> int:
    """``python -m pipelines.registry.aliases MODEL``: reconcile one model once stdin says ``go``.

    Whoever starts it can do so before there is anything to reconcile: MLflow is imported meanwhile. Exit code 0 if
    that worked, or if stdin ends without ``go``; else 1.
    """
    settings = load()
    with Ledger.open(settings) as ledger:
        quiet_mlflow()
        if sys.stdin.readline().strip() != "go":
            return 0
        return 0 if reconcile(settings, ledger, arguments[0]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
