"""Makes Data Docs pages self-contained: nothing is fetched or run when they are opened.

As Great Expectations builds them, the pages take their looks, the marks of kept and broken rules and the index itself
from eight hosts, and a picture reports each opening with the id of the installation.
"""

from __future__ import annotations

import os
import re
import shutil
from html import escape
from pathlib import Path

POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
STYLE = """<style>
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 1080px; padding: 1.5rem; font: 15px/1.5 system-ui, sans-serif; color: #1f2937; }
h1 { font-size: 1.5rem; } h2, h3, h4, h5 { font-size: 1.05rem; margin: .8rem 0 .3rem; }
h6 { font-size: 1em; margin: .4rem 0; }
a { color: #1f5fa8; } table { border-collapse: collapse; width: 100%; margin: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #dfe3e8;
  overflow-wrap: anywhere; }
th { white-space: nowrap; } ol, ul { padding-left: 1.2rem; } .ge-section { margin: 0; padding: 0 0 1rem; }
.alert-secondary { border-top: 2px solid #1f2937; margin-top: 1rem; } .badge { font: .9em ui-monospace, monospace; }
.badge, .code-snippet { background: #f5f7f9; padding: 0 .25em; margin-right: .3em; }
i.fas { white-space: nowrap; }
.fa-check-circle::before { content: "✓ kept"; color: #1a7f37; font-style: normal; font-weight: 600; }
.fa-times::before { content: "✗ broken"; color: #b3261e; font-style: normal; font-weight: 600; }
.fa-exclamation-triangle::before { content: "! not judged"; color: #b3261e; font-style: normal; font-weight: 600; }
a[data-toggle], .navbar-brand, .cooltip .top, .card:has(.btn-group) { display: none; }
@media print { body { max-width: none; padding: 0; } tr { break-inside: avoid; } }
</style>"""
_GONE = (
    re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<footer\b.*?</footer\s*>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<link\b[^>]*>", re.IGNORECASE),
    re.compile(r"<img\b[^>]*>", re.IGNORECASE | re.DOTALL),
)
_OUTWARD = re.compile(r"<a\b[^>]*href=[\"'](?:https?:)?//[^>]*>(.*?)</a\s*>", re.DOTALL | re.IGNORECASE)


def make_local(docs: Path, title: str) -> None:
    """Rewrite the pages of a site in place, with a new index, and remove the pictures."""
    shutil.rmtree(docs / "static", ignore_errors=True)
    pages = sorted(docs.rglob("*.html"))
    for page in pages:
        page.write_text(local(page.read_text()))
    results = [page for page in pages if page.is_relative_to(docs / "validations")]
    suites = [page for page in pages if page.is_relative_to(docs / "expectations")]
    links = "".join(
        f'<li><a href="{escape(os.path.relpath(page, docs).replace("%", "%25").replace("#", "%23"))}">{text}</a></li>'
        for listed, text in ((results, "What was found, rule by rule"), (suites, "The rules"))
        for page in listed
    )
    (docs / "index.html").write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{POLICY}'
        f"<title>{escape(title)} · Data Docs</title>{STYLE}</head>"
        f"<body><main><h1>{escape(title)}</h1><p>Data Docs of this night.</p><ul>{links}</ul></main></body></html>\n"
    )


def local(page: str) -> str:
    """Return a page without scripts, pictures and other fetched resources, with an embedded style."""
    for part in _GONE:
        page = part.sub("", page)
    page = _OUTWARD.sub(r"\1", page)
    return page.replace("<head>", f"<head>{POLICY}", 1).replace("</head>", f"{STYLE}</head>", 1)
