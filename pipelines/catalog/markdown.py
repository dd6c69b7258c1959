"""Markdown of descriptions and notes as HTML that is safe to show: what people write is text, never markup or script.

HTML in the text is escaped (``html`` is off) and never parsed, so the only elements are those that this renderer writes
itself; their only attributes are the address of a link, which must be http, https or mailto, its title, and the number
an ordered list begins with. Nothing is loaded: a picture is shown as a link to it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore

SCHEMES = ("http:", "https:", "mailto:")
LOWEST = 6
DOWN = 2
"""How many levels a heading goes down: the page itself has those above."""


def to_html(text: str) -> str:
    """Return a text in Markdown (CommonMark, tables, strikethrough) as HTML."""
    return str(_renderer().render(text))


@lru_cache(maxsize=1)
def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False})
    markdown.enable(["table", "strikethrough"]).disable(["html_block", "html_inline", "image"])
    markdown.validateLink = _may_link  # type: ignore[method-assign] # its own way to settle which links there are
    markdown.core.ruler.push("page", _fit_page)
    return markdown


def _may_link(url: str) -> bool:
    return url.strip().casefold().startswith(SCHEMES)


def _fit_page(state: StateCore) -> None:
    """Lower headings, mark links as leading elsewhere, and leave out styles, which the page's policy refuses."""
    for token in state.tokens:
        for each in (token, *(token.children or ())):
            each.attrs.pop("style", None)
            if each.type == "link_open":
                each.attrs |= {"rel": "noopener noreferrer nofollow", "target": "_blank"}
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + DOWN, LOWEST)}"
