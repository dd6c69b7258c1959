"""Markdown of people becomes HTML in which nothing of theirs is markup, script, style, or loaded from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalog.markdown import to_html

ELEMENTS = {
    *("p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "a", "em", "strong", "s", "code", "pre", "blockquote", "hr", "br"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"href", "title", "rel", "target", "start", "class"}


class Read(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert tag in ELEMENTS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            assert name != "class" or value.startswith("language-")
            if name == "href":
                self.links.append(value)
                assert value.casefold().startswith(("http:", "https:", "mailto:")), value

    def handle_comment(self, data):
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def test_what_a_description_needs_is_rendered():
    text = "# What\n\nA *score* of [ours](https://example.org/a?b=1).\n- ~~two~~\n\n| a | b |\n|:--|--|\n| 1 | 2 |\n"
    read = Read(to_html(text))
    assert {"h3", "em", "a", "li", "s", "table", "td"} <= set(read.tags)
    assert read.links == ["https://example.org/a?b=1"]
    assert 'rel="noopener noreferrer nofollow"' in to_html(text)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](\x01javascript:alert(1))",
        "[a](&#106;avascript:alert(1))",
        "[a](data:text/html;base64,PHNjcmlwdD4=)",
        "<javascript:alert(1)>",
        "![a](https://example.org/pixel.png)",
        "![a](data:image/png;base64,AAAA)",
        '[a](https://example.org "\\" onmouseover=alert(1) x=\\"")',
        '[a]: https://example.org "\' onmouseover=alert(1)"\n\n[a]',
        '```"><script>alert(1)</script>\nx\n```',
        "<!-- a --><b onclick=alert(1)>",
        "[a](/auth/logout) [b](//example.org) [c](#x)",
        "| a |\n|:-:|\n| <svg onload=alert(1)> |",
    ],
)
def test_markup_and_script_of_others_stay_text(text):
    read = Read(to_html(text))
    assert not {"script", "img", "svg", "b"} & set(read.tags)
    assert all(link.startswith("https://example.org") for link in read.links)


@given(st.text(alphabet="<>[]()!\"'`&#;:=/*_~|-\n javscript:htp", max_size=120))
def test_any_text_has_no_other_elements(text):
    Read(to_html(text))
