"""The page for people: in a real browser, before a real gateway and a real service."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from browser import Tab, browsing, find_browser
from known_model import knowing

URL = "/v1/models/demo:predict"
SCRIPT = "<script>document.title = 'taken'</script>"
KNOWN: dict[str, dict[str, Any]] = {
    "amount": {"low": 0.0, "high": 200.0},
    "town": {"levels": ("Bern", "Genève", "Łódź", SCRIPT)},
    "age": {"optional": True, "low": 18.0, "high": 89.0},
}
WIDE, NARROW = (1280, 900), (400, 850)
NO_BROWSER = pytest.mark.skipif(find_browser() is None, reason="no Chromium on the path")


@pytest.fixture(scope="module")
def live(packaged: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """The tiny model with what its training rows knew, served by a real service behind a real gateway."""
    with knowing(packaged, KNOWN, ["predict:demo", "explain:demo"]) as live:
        yield live


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """Where the browser puts what it is handed."""
    (tmp_path / "downloads").mkdir()
    return tmp_path / "downloads"


@pytest.fixture
def tab(live: SimpleNamespace, downloads: Path) -> Iterator[Tab]:
    """The page, and at the end: it logged no error, asked nobody else, and showed the token to no address."""
    with browsing(downloads) as tab:
        tab.open(live.url, *WIDE)
        yield tab
        assert tab.logged == []
        assert {url for url in tab.requested if not url.startswith((live.url, "data:", "blob:"))} == set()
        assert not any(live.token in url for url in tab.requested)


def enter(tab: Tab, token: str) -> None:
    """Type the token and press Enter."""
    tab.type("#token", token)
    tab.press("Enter", 13, "\r")


def field(name: str, tab: Tab) -> str:
    """Return the selector of the field whose label is this."""
    return "#" + str(tab.run(f"[...document.querySelectorAll('label')].find(e => e.innerText === {name!r}).htmlFor"))


def beside(name: str, tab: Tab) -> str:
    """Return the warning beside a field; empty if there is none."""
    return tab.text(f"{field(name, tab)}-warning")


def ask(live: SimpleNamespace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Ask the gateway without a browser."""
    reply = live.gateway.post(URL, json={"instances": rows})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def handed(downloads: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return header and rows of the file that was handed out."""
    deadline = time.monotonic() + 20
    while not (files := list(downloads.glob("*.csv"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    reader = csv.DictReader(io.StringIO(files[0].read_text("utf-8")))
    rows = list(reader)
    return list(reader.fieldnames or ()), rows


def test_the_files_are_served_without_a_token_and_locked_down(live: SimpleNamespace) -> None:
    index = live.gateway.get("/", headers={"Authorization": ""})
    assert index.status_code == 200
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    for path in ("/", "/page.js", "/page.css", "/charts.js"):
        reply = live.gateway.get(path, headers={"Authorization": ""})
        policy = reply.headers["content-security-policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"):
            assert rule in policy
        for rule in ("form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert rule in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cache-control"] == "no-cache"
        assert "http://" not in reply.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in reply.text
    assert live.gateway.post("/").status_code == 405
    assert live.gateway.get("/page.py").status_code == 404


def test_a_token_of_one_model_lists_that_model(live: SimpleNamespace) -> None:
    names = [each["name"] for each in live.gateway.get("/v1/models").json()["models"]]
    assert names == ["demo"]
    other = live.ledger.issue_token("stranger", ["predict:other", "explain:demo"], 1)
    reply = live.gateway.get("/v1/models", headers={"Authorization": f"Bearer {other}"})
    assert (reply.status_code, reply.json()) == (200, {"models": []})
    none = live.ledger.issue_token("explainer", ["explain:demo"], 1)
    assert live.gateway.get("/v1/models", headers={"Authorization": f"Bearer {none}"}).status_code == 403


@NO_BROWSER
def test_a_row_is_predicted_and_explained_as_the_api_does(live: SimpleNamespace, tab: Tab) -> None:
    enter(tab, live.token)
    tab.until("!document.querySelector('#panels').hidden")
    example = live.gateway.get("/v1/models/demo/metadata").json()["example"]
    assert tab.run(f"document.querySelector('{field('amount', tab)}').value") == str(example["amount"])
    assert "0 to 200 in training" in tab.text(f"{field('amount', tab)}-hint")
    assert "optional" in tab.text(f"{field('age', tab)}-hint")
    assert tab.run(f"document.querySelector('{field('town', tab)}').tagName") == "SELECT"
    tab.type(field("amount", tab), "181.5")
    tab.choose(field("town", tab), "Genève")
    tab.click("#predict")
    tab.until("document.querySelector('#predicted')")
    expected = ask(live, [{"amount": "181.5", "town": "Genève", "age": example["age"]}])["predictions"][0]
    assert tab.text("#predicted") == expected["prediction"]
    bars = tab.run("document.querySelector('#prediction svg').getAttribute('aria-label')")
    digits = 1 if 0.01 <= expected["probability"] <= 0.99 else 2
    assert f"yes {100 * expected['probability']:.{digits}f} %" in bars
    assert beside("amount", tab) == beside("town", tab) == ""
    tab.click("#explain")
    tab.until("document.querySelector('#explanation table')")
    explained = tab.text("#explanation")
    for text in ("member 0", "Features", "people", "left", "Combination"):
        assert text in explained
    assert tab.run("sessionStorage.getItem('aimass.token')") == live.token
    assert live.token not in tab.run("location.href + document.documentElement.outerHTML + document.cookie")
    tab.click("#forget")
    assert tab.run("sessionStorage.length") == 0
    assert tab.run("document.querySelector('#work').hidden")


@NO_BROWSER
def test_a_warning_stands_beside_its_field(live: SimpleNamespace, tab: Tab) -> None:
    enter(tab, live.token)
    tab.until("!document.querySelector('#panels').hidden")
    tab.type(field("amount", tab), "much")
    tab.choose(field("town", tab), "")
    tab.type(field("age", tab), "200")
    tab.click("#predict")
    tab.until("document.querySelector('#predicted')")
    assert beside("amount", tab) == "cannot be read as a number; taken as missing"
    assert beside("town", tab) == "no value"
    assert beside("age", tab) == "outside of the training rows: 18 to 89"
    tab.type(field("age", tab), "")
    tab.type(field("amount", tab), "10")
    tab.choose(field("town", tab), "Bern")
    assert beside("amount", tab) == beside("town", tab) == beside("age", tab) == ""
    tab.click("#predict")
    tab.until("!document.querySelector('#results').matches('.stale, [aria-busy]')")
    expected = ask(live, [{"amount": "10", "town": "Bern"}])["predictions"][0]["prediction"]
    assert tab.text("#predicted") == expected
    assert tab.run("document.querySelectorAll('.warned').length") == 0


@NO_BROWSER
def test_a_script_in_a_category_stays_text(live: SimpleNamespace, tab: Tab) -> None:
    enter(tab, live.token)
    tab.until("!document.querySelector('#panels').hidden")
    options = tab.run(f"[...document.querySelector('{field('town', tab)}').options].map(e => e.innerText)")
    assert SCRIPT in options
    tab.choose(field("town", tab), SCRIPT)
    tab.click("#explain")
    tab.until("document.querySelector('#explanation table')")
    assert SCRIPT in tab.text("#explanation")
    assert tab.run("document.title") == "AI Mass: predictions"
    assert tab.run("document.scripts.length") == 1


@NO_BROWSER
def test_a_wrong_token_is_told_in_words(live: SimpleNamespace, downloads: Path) -> None:
    with browsing(downloads) as tab:
        tab.open(live.url, *WIDE)
        for wrong, words in (("aim_wrong", "the token is unknown, expired or revoked"), ("ä ö", "this is no token")):
            enter(tab, wrong)
            tab.until(f"document.querySelector('#access-error').innerText.includes({words!r})")
            assert tab.run("document.querySelector('#work').hidden")
            assert tab.run("sessionStorage.length") == 0
        predict_only = live.ledger.issue_token("predicts", ["predict:demo"], 1)
        enter(tab, predict_only)
        tab.until("!document.querySelector('#panels').hidden")
        tab.type(field("amount", tab), "20")
        tab.click("#explain")
        tab.until("document.querySelector('#explanation .error')")
        tab.until("!document.querySelector('#results').matches('.stale, [aria-busy]')")
        assert "explain:demo" in tab.text("#explanation")
        assert tab.text("#predicted") in ("yes", "no")
        assert all("status of 401" in line or "status of 403" in line for line in tab.logged), tab.logged


@NO_BROWSER
def test_a_file_is_predicted_in_parts_and_handed_back(
    live: SimpleNamespace, tab: Tab, downloads: Path, tmp_path: Path, tiny: ModuleType
) -> None:
    frame = tiny.rows(2500, seed=3).assign(note='a "quoted", text')
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    with path.open("a", encoding="utf-8") as file:
        file.write("2500,1,Bern\n")
    enter(tab, live.token)
    tab.until("!document.querySelector('#panels').hidden")
    tab.click("#tab-file")
    tab.upload("#file", path)
    tab.until("!document.querySelector('#start').disabled")
    assert "2,500 rows" in tab.text("#file-state")
    assert "line 2502: 3 cells where the header has 5" in tab.text("#file-state")
    before = len(tab.requested)
    tab.click("#start")
    tab.until("document.querySelector('#download')")
    assert sum(url.endswith(":predict") for url in tab.requested[before:]) == 3
    assert "line 2502: 3 cells" in tab.text("#refused")
    assert "cannot be read as a number" in tab.text("#file-results")
    assert "2,500 of 2,500 rows" in tab.text("#progress-note")
    figures = tab.run("[...document.querySelectorAll('.plots figure')].map(e => e.innerText.split('\\n')[0])")
    assert [name.split(",")[0] for name in figures] == [
        "Rows by prediction",
        "Spread of the probability of yes",
        "Probability of yes over the rows",
        "Probability of yes against amount",
    ]
    tab.choose("#plot-over", "age")
    tab.choose("#plot-against", "id")
    figures = tab.run("[...document.querySelectorAll('.plots figure')].map(e => e.innerText.split('\\n')[0])")
    assert "over age" in figures[2]
    assert "against id" in figures[3]
    tab.click("#download")
    header, rows = handed(downloads)
    assert header == ["id", "amount", "town", "age", "note", "prediction", "probability", "warnings"]
    with path.open(encoding="utf-8", newline="") as file:
        given = list(csv.DictReader(file))[:2500]
    assert [{name: row[name] for name in given[0]} for row in rows] == given
    sent = [{name: row[name] or None for name in given[0]} for row in given]
    answered = [ask(live, sent[start : start + 1000]) for start in range(0, 2500, 1000)]
    expected = [each for content in answered for each in content["predictions"]]
    found = [{"prediction": row["prediction"], "probability": float(row["probability"])} for row in rows]
    assert found == expected
    warned = {
        (1000 * part + w["row"], w["column"], w["kind"]) for part, c in enumerate(answered) for w in c["warnings"]
    }
    told = {(n, *pair.split(": ")) for n, row in enumerate(rows) for pair in row["warnings"].split("; ") if pair}
    assert told == warned


@NO_BROWSER
def test_pictures_and_rows_are_handed_out_harmless(
    live: SimpleNamespace, tab: Tab, downloads: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    towns = ["Bern", "Genève", "Łódź"]
    lines = [f"{n},{90 + n},{towns[n % 3]},{30 + n},-{n}.5,=1+{n}" for n in range(30)]
    path.write_text("\n".join(["id,amount,town,age,change,@note", *lines]) + "\n")
    enter(tab, live.token)
    tab.until("!document.querySelector('#panels').hidden")
    tab.click("#tab-file")
    tab.upload("#file", path)
    tab.until("!document.querySelector('#start').disabled")
    tab.click("#start")
    tab.until("document.querySelectorAll('.plots svg[width]').length === 4")
    tab.choose("#plot-by", "town")
    tab.until("document.querySelectorAll('.plots svg[width]').length === 5")
    bars = tab.run("[...document.querySelectorAll('.plots svg')].at(-1).getAttribute('aria-label')")
    assert bars.startswith("Mean probability of yes by town: ")
    assert all(town in bars for town in towns)
    assert tab.text("#guarded").startswith("31 cells that a spreadsheet would run")
    tab.click("#download")
    header, rows = handed(downloads)
    assert header[:6] == ["id", "amount", "town", "age", "change", "'@note"]
    assert (rows[4]["change"], rows[4]["'@note"]) == ("-4.5", "'=1+4")
    for kind in ("SVG", "PNG"):
        tab.click(f".plots figure:last-of-type [aria-label$='{kind}']")
    deadline = time.monotonic() + 20
    names = ("mean-probability-of-yes-by-town.svg", "mean-probability-of-yes-by-town.png")
    while not all((downloads / name).is_file() for name in names) and time.monotonic() < deadline:
        time.sleep(0.05)
    picture = (downloads / names[0]).read_text("utf-8")
    assert picture.startswith("<svg")
    assert "class=" not in picture
    assert 'fill="rgb(11, 98, 168)"' in picture or 'fill="rgb(108, 179, 242)"' in picture
    assert "Genève" in picture
    assert (downloads / names[1]).read_bytes().startswith(b"\x89PNG")


@NO_BROWSER
def test_rows_that_the_gateway_refuses_are_named_and_the_others_predicted(
    live: SimpleNamespace, downloads: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"{n};{90 + n};Bern;{30 + n}" for n in range(20)]
    lines[13] = f"13;{'9' * (1 << 20)};Bern;30"
    path.write_text("\n".join(["id;amount;town;age", *lines]) + "\n")
    with browsing(downloads) as tab:
        tab.open(live.url, *NARROW)
        enter(tab, live.token)
        tab.until("!document.querySelector('#panels').hidden")
        tab.click("#tab-file")
        tab.upload("#file", path)
        tab.until("!document.querySelector('#start').disabled")
        tab.click("#start")
        tab.until("document.querySelector('#download')")
        assert "1 row without a prediction" in tab.text("#refused")
        assert "line 15: the body is too large" in tab.text("#refused")
        tab.click("#download")
        deadline = time.monotonic() + 20
        while not (files := list(downloads.glob("*.csv"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        csv.field_size_limit(1 << 22)
        rows = list(csv.DictReader(io.StringIO(files[0].read_text()), delimiter=";"))
        assert [n for n, row in enumerate(rows) if not row["prediction"]] == [13]
        assert rows[13]["refused"].startswith("the body is too large")
        (tmp_path / "narrow.csv").write_text("id,amount,age\n1,2,3\n")
        tab.upload("#file", tmp_path / "narrow.csv")
        tab.until("document.querySelector('#file-state .error')")
        assert "lacks the columns town" in tab.text("#file-state")
        assert tab.run("document.querySelector('#start').disabled")


@NO_BROWSER
def test_a_limited_token_waits_and_can_be_cancelled(
    live: SimpleNamespace, downloads: Path, tmp_path: Path, tiny: ModuleType
) -> None:
    token = live.ledger.issue_token("slow", ["predict:demo"], 1, rate="4/minute")
    path = tmp_path / "rows.csv"
    tiny.rows(2500, seed=4).to_csv(path, index=False)
    with browsing(downloads) as tab:
        tab.open(live.url, *WIDE)
        enter(tab, token)  # two requests: the models, the schema
        tab.until("!document.querySelector('#panels').hidden")
        tab.click("#tab-file")
        tab.upload("#file", path)
        tab.until("!document.querySelector('#start').disabled")
        tab.click("#start")
        tab.until("document.querySelector('#progress-note').innerText.includes('again in')")
        assert tab.text("#progress-note").startswith("2,000 of 2,500 rows")
        tab.click("#cancel")
        tab.until("document.querySelector('#download')")
        assert tab.text("#progress-note") == "cancelled: 2,000 of 2,500 rows"
        tab.click("#download")
        _, rows = handed(downloads)
        assert [bool(row["prediction"]) for row in rows] == [True] * 2000 + [False] * 500


@NO_BROWSER
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_nothing_is_wider_than_the_window(
    live: SimpleNamespace, tab: Tab, tmp_path: Path, tiny: ModuleType, size: tuple[int, int]
) -> None:
    path = tmp_path / "rows.csv"
    tiny.rows(300, seed=3).to_csv(path, index=False)
    tab.resize(*size)
    enter(tab, live.token)
    tab.until("!document.querySelector('#panels').hidden")
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert tab.run(wider) == 0
    tab.click("#explain")
    tab.until("document.querySelector('#explanation table')")
    tab.shoot(tmp_path / "row.png")
    assert tab.run(wider) == 0
    tab.click("#tab-file")
    tab.upload("#file", path)
    tab.until("!document.querySelector('#start').disabled")
    tab.click("#start")
    tab.until("document.querySelectorAll('.plots svg[width]').length === 4")
    tab.shoot(tmp_path / "file.png")
    assert tab.run(wider) == 0


TASKS: dict[str, dict[str, Any]] = {
    "multiclass": {
        "classes": ["a", SCRIPT, "c"],
        "prediction": {"prediction": SCRIPT, "probability": 0.6, "probabilities": {"a": 0.3, SCRIPT: 0.6, "c": 0.1}},
        "bars": [f"Probabilities: {SCRIPT} 60.0 %, a 30.0 %, c 10.0 %"],
        "outputs": {"prediction": ["a", SCRIPT], "probability": [0.5, 0.6], "probability_a": [0.5, 0.3]},
        "plots": ["Rows by prediction: a 1", "Spread of the probability of the prediction: 2 values from 0.5 to 0.6"],
    },
    "regression": {
        "classes": [],
        "prediction": {"prediction": 1234.5},
        "bars": [],
        "outputs": {"prediction": [-5.5, 1e12]},
        "plots": ["Spread of the prediction: 2 values from -5.5 to 1.000e+12", "Prediction over the rows: 2 points"],
    },
    "clustering": {
        "classes": [],
        "prediction": {"prediction": "noise"},
        "bars": [],
        "outputs": {"prediction": ["0", "noise"]},
        "plots": ["Rows by prediction: 0 1, noise 1"],
    },
    "reduction": {
        "classes": [],
        "prediction": {"components": [-1.5, 0.25]},
        "bars": ["Components: component 1 -1.5, component 2 0.25"],
        "outputs": {"component_1": [-1.5, 2.0], "component_2": [0.25, 1.0]},
        "plots": ["Spread of the component 1: 2 values from -1.5 to 2", "Component 1 over the rows: 2 points"],
    },
}


@NO_BROWSER
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_its_bars_and_plots(tab: Tab, task: str) -> None:
    case = TASKS[task]
    facts = {"task": task, "classes": case["classes"], "positive": None, "columns": [], "key": []}
    content = {"predictions": [case["prediction"]], "model_version": 1, "request_id": "r"}
    found = {"outputs": case["outputs"]}
    file = {"header": ["day", "size"], "rows": [["2026-01-01", "3"], ["2026-01-02", ""]]}
    labels = tab.run(
        f"""Promise.all([import("/row.js"), import("/plots.js")]).then(async ([row, plots]) => {{
            document.body.replaceChildren(document.createElement("div"));
            row.showPrediction(document.body.firstChild, {json.dumps(facts)}, {json.dumps(content)}, []);
            const seen = () => [...document.querySelectorAll("svg")].map(e => e.getAttribute("aria-label"));
            const bars = seen();
            document.body.replaceChildren(plots.plotsOf({json.dumps(file)}, {json.dumps(facts)}, {json.dumps(found)}));
            await new Promise((resolve) => setTimeout(resolve, 200));
            const drawn = [...document.querySelectorAll("svg")].every(e => e.childElementCount > 1);
            return [bars, seen(), drawn]; }})"""
    )
    assert labels[0] == case["bars"]
    for expected, seen in zip(case["plots"], labels[1], strict=False):
        assert seen.startswith(expected)
    assert len(labels[1]) == {"multiclass": 4, "regression": 3, "clustering": 1, "reduction": 3}[task]
    assert labels[2]
    if task != "clustering":
        tab.choose("#plot-over", "day")
        seen = tab.run("[...document.querySelectorAll('svg')].map(e => e.getAttribute('aria-label'))")
        assert any("over day" in label for label in seen)


@NO_BROWSER
def test_it_is_used_by_keyboard_alone(live: SimpleNamespace, tab: Tab) -> None:
    enter(tab, live.token)
    tab.until("!document.querySelector('#panels').hidden")
    assert tab.run(
        "[...document.querySelectorAll('input, select')].every(e => document.querySelector(`label[for='${e.id}']`))"
    )
    tab.run("document.querySelector('#model').focus()")
    stops = []
    for _ in range(9):
        tab.press("Tab", 9)
        stops.append(tab.run("document.activeElement.id"))
    fields = [field(name, tab)[1:] for name in ("amount", "town", "age")]
    assert stops == ["tab-row", *fields, "predict", "explain", "fill", "clear", stops[8]]
    tab.run("document.querySelector('#tab-row').focus()")
    tab.press("ArrowRight", 39)
    assert tab.run("document.activeElement.id") == "tab-file"
    assert not tab.run("document.querySelector('#panel-file').hidden")
    tab.press("ArrowLeft", 37)
    tab.run(f"document.querySelector('#{fields[0]}').focus()")
    tab.press("Enter", 13, "\r")
    tab.until("document.querySelector('#predicted')")
    assert json.dumps(tab.text("#predicted")) in ('"yes"', '"no"')
