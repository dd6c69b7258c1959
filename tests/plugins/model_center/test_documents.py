"""Documents inside the center: no script of theirs runs, and no file of another folder is given."""

from __future__ import annotations

import pytest

from pipelines.html_pages import show_docs, show_operation, show_page


@pytest.fixture
def written(center, names, tmp_path):
    from pipelines.artifacts import night_slug

    name, docs = names[0], tmp_path / "docs"
    docs.mkdir()
    (docs / "index.html").write_text("<p>the docs</p>")
    (docs / "notes.txt").write_text("not a page")
    show_docs(docs, center.settings.docs, name)
    row = center.ledger.score_line(name)[-1]
    card = tmp_path / "card.html"
    card.write_text("<p>the card</p>")
    show_page("<p>the night</p>", center.settings.docs, name, night_slug(row.night), card)
    show_operation("<p>the operation</p>", center.settings.docs, name)
    return name, row


def test_card_night_docs_and_operation_are_shown(center, written):
    name, row = written
    with center.as_("viewer") as viewer:
        for kind, text in (
            ("card", "the card"),
            ("night", "the night"),
            ("data", "the docs"),
            ("operation", "the operation"),
        ):
            page = viewer.get(f"/models/{name}/documents", params={"version": row.version, "show": kind}).text
            source = page.split('<iframe class="document"')[1].split('src="')[1].split('"')[0]
            found = viewer.get(source.removeprefix("/model-center"))
            assert text in found.text
            assert found.headers["content-security-policy"].startswith("sandbox allow-same-origin; default-src 'none'")
            assert "allow-scripts" not in page + found.headers["content-security-policy"]


def test_no_other_file_is_given(center, written, names):
    name, _ = written
    (center.settings.docs / "secret.html").write_text("not yours")
    with center.as_("viewer") as viewer:
        for path in ("../secret.html", "..%2fsecret.html", "%2e%2e/secret.html", "notes.txt", "nights", "/etc/passwd"):
            found = viewer.get(f"/models/{name}/files/{path}")
            assert found.status_code == 404, path
            assert "not yours" not in found.text
        assert viewer.get(f"/models/{names[1]}/card?version=1").status_code == 404
        assert viewer.get(f"/models/{names[1]}/operation-page").status_code == 404
        assert "There is no document" in viewer.get(f"/models/{names[1]}/documents").text


def test_the_log_of_a_service_is_text(center, names):
    name = names[0]
    (center.settings.logs / f"bento-{name}-v7.log").write_text("\n".join(f"line {n} <b>" for n in range(500)))
    with center.as_("viewer") as viewer:
        text = viewer.get(f"/models/{name}/parts/log?version=7").text
        assert viewer.get(f"/models/{name}/parts/log?version=8").status_code == 404
    assert "line 499 &lt;b&gt;" in text
    assert "line 299 " not in text
