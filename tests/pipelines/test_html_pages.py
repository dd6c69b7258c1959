"""Pages of nights stay beside the Data Docs, whichever of them comes first."""

from __future__ import annotations

from pathlib import Path

from pipelines.html_pages import latest_page, show_docs, show_page


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_new_docs_keep_the_pages_of_the_nights(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    assert latest_page(root, "demo") is None
    written(tmp_path / "site" / "index.html", "docs 1")
    show_docs(tmp_path / "site", root, "demo")
    first = show_page("night 1", root, "demo", "night-1")
    assert first == root / "demo" / "nights" / "night-1.html"
    written(tmp_path / "site" / "index.html", "docs 2")
    show_docs(tmp_path / "site", root, "demo")
    assert (root / "demo" / "index.html").read_text() == "docs 2"
    assert first.read_text() == "night 1"
    assert latest_page(root, "demo") == first
    show_page("night 2", root, "demo", "night-2")
    assert (root / "demo" / "nights" / "latest.html").read_text() == "night 2"
    assert first.read_text() == "night 1"
    assert len(list(root.iterdir())) == 2  # one folder, and the link to it


def test_a_page_needs_no_docs(tmp_path: Path) -> None:
    page = show_page("night 1", tmp_path / "docs", "demo", "night-1")
    assert page.read_text() == "night 1"
    assert page.stat().st_mode & 0o077 == 0
    written(tmp_path / "site" / "index.html", "docs")
    show_docs(tmp_path / "site", tmp_path / "docs", "demo")
    assert page.read_text() == "night 1"
