"""Tables for a terminal and for files: aligned columns, no lines drawn between them."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

NO_LIMIT = 1_000_000


def text_table(
    rows: Sequence[Sequence[str | Text]],
    header: Sequence[str] | None = None,
    *,
    right: Collection[int] = (),
    least: int = 0,
    indent: int = 0,
    terminal: int | None = None,
) -> list[str]:
    """Align the cells of rows in columns, two spaces apart.

    Parameters
    ----------
    rows
        As many cells in each. What looks like markup is shown as it is.
    header
        Names of the columns; None: the rows stand alone.
    right
        Indices of the columns that are aligned to the right.
    least
        Characters that every column is wide at least.
    indent
        Spaces before each line.
    terminal
        Width of the terminal that shows the table: long cells are folded and styles are shown. None: plain text, in
        which no cell is ever broken.

    Returns
    -------
    list of str
        The lines, without spaces at their ends.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header is not None)
    for index in range(len(header or rows[0]) if header or rows else 0):
        table.add_column(
            Text(header[index]) if header else "",
            justify="right" if index in right else "left",
            min_width=least or None,
            no_wrap=terminal is None,
            overflow="fold" if terminal else "crop",
        )
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    page = io.StringIO()
    console = Console(file=page, width=terminal or NO_LIMIT, force_terminal=terminal is not None)
    console.print(Padding(table, (0, 0, 0, indent), expand=False))
    return [line.rstrip() for line in page.getvalue().splitlines()]
