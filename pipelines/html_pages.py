"""The pages shown in a browser: the Data Docs of a model, one page per night, and one of its operation."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from pipelines.artifacts import write_atomic
from pipelines.settings import make_private
from pipelines.storage.file_io import link_or_copy

NIGHTS = "nights"
LATEST = "latest.html"
OPERATION = "_operation"
"""Folder of the pages that the monitor writes; no model has this name."""
CARD = ".card.html"
"""Suffix of a night's model card."""
KEPT = 200
"""Pages and model cards of nights that stay beside the latest Data Docs."""


def show_docs(docs: Path, root: Path, model: str) -> None:
    """Make ``docs`` the model's latest: a copy beside the old one, then one switch of a link; pages of nights stay."""
    fresh = _fresh(root, model)
    shutil.copytree(docs, fresh, dirs_exist_ok=True)
    _switch(fresh, root, model)


def show_page(page: str, root: Path, model: str, night: str, card: Path | None = None) -> Path:
    """Show a night's page as ``root/<model>/nights/<night>.html`` and as ``latest.html`` there; return its path.

    A reader sees the old page or the whole new one. The model card lies beside it, where it outlives the night's own
    folders.
    """
    if not (root / model).is_dir():
        _switch(_fresh(root, model), root, model)
    folder = make_private(root / model / NIGHTS)
    path = folder / f"{night}.html"
    write_atomic(path, page)
    if card is not None:
        (folder / f"{night}{CARD}").unlink(missing_ok=True)
        link_or_copy(card, folder / f"{night}{CARD}")
    swap = folder / f".latest-{secrets.token_hex(4)}"
    swap.symlink_to(path.name)
    os.replace(swap, folder / LATEST)
    return path


def latest_page(root: Path, model: str) -> Path | None:
    """Return the page of the newest night that has one."""
    link = root / model / NIGHTS / LATEST
    return root / model / NIGHTS / os.readlink(link) if link.exists() else None


def show_operation(page: str, root: Path, model: str) -> Path:
    """Show the page of a model's operation; return its path."""
    path = make_private(root / OPERATION) / f"{model}.html"
    write_atomic(path, page)
    return path


def operation_page(root: Path, model: str) -> Path | None:
    """Return the page of a model's operation, if the monitor has written one."""
    path = root / OPERATION / f"{model}.html"
    return path if path.is_file() else None


def _fresh(root: Path, model: str) -> Path:
    """Make the folder that comes next, with the pages of the nights as links to the same files."""
    make_private(root)
    fresh = make_private(root / f".{model}-{secrets.token_hex(4)}")
    old = root / model / NIGHTS
    if old.is_dir():
        pages = sorted(
            (path for path in old.glob("*.html") if not path.is_symlink()), key=lambda path: path.stat().st_mtime
        )
        make_private(fresh / NIGHTS)
        for path in pages[-KEPT:]:
            link_or_copy(path, fresh / NIGHTS / path.name)
        if (old / LATEST).exists():
            (fresh / NIGHTS / LATEST).symlink_to(os.readlink(old / LATEST))
    return fresh


def _switch(fresh: Path, root: Path, model: str) -> None:
    link, swap = root / model, root / f".{model}-link-{secrets.token_hex(4)}"
    old = link.resolve() if link.is_symlink() else None
    swap.symlink_to(fresh.name)
    os.replace(swap, link)
    if old is not None and old.parent == root.resolve():
        shutil.rmtree(old, ignore_errors=True)
