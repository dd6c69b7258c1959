"""A search's journal in an object store, where another machine finds it when this one is lost."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pipelines.errors import AimassError
from pipelines.object_store import at_once
from pipelines.settings import Settings
from pipelines.storage import remote_of
from pipelines.storage.remote import Remote
from pipelines.tuning.trial_runner import oof_path

SEARCHES = "searches"
PATIENCE_S = 5.0
"""Seconds for which a finished trial is sent; after that the next one sends it, too."""

log = logging.getLogger(__name__)


class SharedSearch:
    """The objects of one search: its journal, and predictions of each trial that is kept.

    Predictions are sent before the journal that names them, so that whoever takes up the search finds both.
    """

    def __init__(self, remote: Remote, uri: str, folder: Path, journal: str) -> None:
        self.remote, self.uri, self.folder, self.journal = remote, uri, folder, journal
        self._waiting: set[int] = set()
        self._sent: set[str] = set()

    def bring(self) -> None:
        """Bring the search as the store has it, unless this machine knows of as many trials."""
        sizes = {each.key.rsplit("/", 1)[1]: each.bytes for each in self.remote.store.list(f"{self.uri}/")}
        self._sent.update(sizes)
        here = self.folder / self.journal
        if here.exists() and here.stat().st_size >= sizes.get(self.journal, 0):
            return

        def one(name: str) -> None:
            partial = self.folder / f".{name}.brought"
            if self.remote.store.fetch(f"{self.uri}/{name}", partial) is not None:
                os.replace(partial, self.folder / name)

        at_once(one, [name for name in sizes if name != self.journal])
        if self.journal in sizes:
            one(self.journal)

    def send(self, number: int) -> None:
        """Send a finished trial. Where the store does not take it, the search goes on, and the next one sends both."""
        self._waiting.add(number)
        try:
            for each in sorted(self._waiting):
                path = oof_path(self.folder, each)
                if path.exists():
                    self.remote.store.send(f"{self.uri}/{path.name}", path)
                    self._sent.add(path.name)
            self.remote.store.send(f"{self.uri}/{self.journal}", self.folder / self.journal)
        except AimassError as error:
            log.warning("the object store lacks the last trials: %s", error)
        else:
            self._waiting.clear()

    def forget(self, number: int) -> None:
        """Remove the predictions of a trial."""
        self._waiting.discard(number)
        name = oof_path(self.folder, number).name
        if name not in self._sent:
            return
        self._sent.remove(name)
        try:
            self.remote.store.delete([f"{self.uri}/{name}"])
        except AimassError as error:
            log.warning("housekeeping will remove what is no longer needed: %s", error)


def shared_search(settings: Settings, model: str, key: str, folder: Path, journal: str) -> SharedSearch | None:
    """Return the objects of a search, and remove those of the model's other searches; None: the storage is a folder."""
    remote = remote_of(settings, patience=PATIENCE_S)
    if remote is None:
        return None
    uri = f"{SEARCHES}/{model}/{key}"
    others = [each.key for each in remote.store.list(f"{SEARCHES}/{model}/") if not each.key.startswith(f"{uri}/")]
    remote.store.delete(others)
    return SharedSearch(remote, uri, folder, journal)
