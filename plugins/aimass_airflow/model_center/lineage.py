"""Lineage as a picture: sources, the night that read them, the version it made, its services, their callers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pipelines.ledger.rows import ServiceRow, StageRow, VersionRow

WIDTH, GAP, LINE, PAD, ROW_GAP = 204, 58, 18, 12, 16
LONGEST = 22
SHOWN = 6
"""Boxes of a column; the rest are counted in one more."""


@dataclass
class Box:
    """A box of the picture.

    Parameters
    ----------
    lines
        Texts below the title.
    href
        Where it leads, below the model's own address; None: nowhere.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    href: str | None = None
    x: int = 0
    y: int = 0

    @property
    def height(self) -> int:
        """Height in pixels."""
        return 2 * PAD + LINE * (1 + len(self.lines))

    @property
    def middle(self) -> int:
        """Where links end."""
        return self.y + self.height // 2


@dataclass(frozen=True)
class Picture:
    """The boxes of all columns with their headings, and the links as SVG paths."""

    columns: list[tuple[str, int, list[Box]]]
    links: list[str]
    width: int
    height: int
    text: str
    box_width: int = WIDTH


def draw(
    model: str,
    row: VersionRow,
    stages: Sequence[StageRow],
    services: Sequence[ServiceRow],
    callers: Sequence[tuple[Any, ...]],
) -> Picture:
    """Lay the picture out."""
    by_name = {stage.stage: stage for stage in stages}
    ingest = by_name.get("ingest")
    read = ((ingest.stats or {}).get("mart") or {}) if ingest else {}
    sources = _few([_source(each) for each in sources_of(ingest.spec or {}, read)] if ingest else [], "sources")
    columns = [
        ("Sources", sources or [Box("not recorded")]),
        ("Night", [Box(f"night of {row.as_of:%Y-%m-%d}" if row.as_of else "night", _stages(by_name), "documents")]),
        ("Version", [_version(row)]),
        ("Service", _services(row, services)),
        ("Callers, 30 days", _callers(callers)),
    ]
    placed: list[tuple[str, int, list[Box]]] = []
    tallest = max(sum(box.height for box in boxes) + ROW_GAP * (len(boxes) - 1) for _, boxes in columns)
    for number, (name, boxes) in enumerate(columns):
        x = 1 + number * (WIDTH + GAP)
        y = 34 + (tallest - sum(box.height for box in boxes) - ROW_GAP * (len(boxes) - 1)) // 2
        for box in boxes:
            box.x, box.y = x, y
            y += box.height + ROW_GAP
        placed.append((name, x, boxes))
    links = [_link(one, other) for (_, _, left), (_, _, right) in pairwise(placed) for one in left for other in right]
    names = ", ".join(box.title for box in sources) or "sources that are not recorded"
    text = f"Lineage of {model}: {names} are read by the night that made version {row.version}, which is {row.state}"
    return Picture(placed, links, len(columns) * (WIDTH + GAP) - GAP + 2, 34 + tallest + 2, text)


def sources_of(spec: dict[str, Any], read: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the sources of INGEST: (how it is joined, or empty for the main one; its settings).

    Parameters
    ----------
    read
        By table, which version of a published table the night read.
    """

    def settled(table: str, source: dict[str, Any]) -> dict[str, Any]:
        version = read.get(table)
        return (
            {**source, "kind": "table", "path": f"mart:{version['name']}@{version['version']}"} if version else source
        )

    found = [("", settled("main", spec["source"]))] if spec.get("source") else []
    return found + [
        (
            f"{join.get('name', 'joined')}{', as of' if join.get('time') else ''}",
            settled(str(join.get("name")), join["source"]),
        )
        for join in spec.get("joins", ())
        if isinstance(join, dict) and join.get("source")
    ]


def _source(found: tuple[str, dict[str, Any]]) -> Box:
    how, source = found
    kind = str(source.get("kind") or "source")
    where = str(source.get("path") or source.get("query") or kind)
    short = _tail(where) if source.get("path") else _head(where)
    return Box(_head(how), [kind, short]) if how else Box(short, [kind])


def _head(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _tail(text: str) -> str:
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"


def _stages(by_name: dict[str, StageRow]) -> list[str]:
    lines = [
        f"{name}: {by_name[name].rows:,} rows"
        for name in ("ingest", "sample", "clean", "split", "features")
        if name in by_name and by_name[name].rows is not None
    ]
    tune = by_name.get("tune")
    trials = ((tune.ref or {}).get("meta") or {}).get("trials") if tune is not None else None
    return [*lines, *([f"tune: {trials} trials"] if trials else [])]


def _version(row: VersionRow) -> Box:
    score = [f"{row.metric} {row.score:.4g}"] if row.score is not None else []
    verdict = (row.verdict or {}).get("verdict")
    return Box(
        f"version {row.version}", [*score, *([str(verdict)] if verdict else []), row.model_digest[:12]], "versions"
    )


def _services(row: VersionRow, services: Sequence[ServiceRow]) -> list[Box]:
    mine = [each for each in services if each.version == row.version and each.desired == "serve"]
    if not mine:
        return [Box("not served")]
    return [
        Box(f"{each.instances} instance{'s' if each.instances > 1 else ''}", [each.actual], "operation")
        for each in mine
    ]


def _callers(callers: Sequence[tuple[Any, ...]]) -> list[Box]:
    boxes = [Box(_head(name), [f"{requests:,} requests"], "operation") for name, requests, *_ in callers]
    return _few(boxes, "callers") or [Box("no calls")]


def _few(boxes: list[Box], what: str) -> list[Box]:
    if len(boxes) <= SHOWN:
        return boxes
    return [*boxes[: SHOWN - 1], Box(f"{len(boxes) - SHOWN + 1} more {what}")]


def _link(one: Box, other: Box) -> str:
    x, y, to_x, to_y = one.x + WIDTH, one.middle, other.x, other.middle
    half = (to_x - x) // 2
    return f"M{x},{y}C{x + half},{y} {to_x - half},{to_y} {to_x - 6},{to_y}"
