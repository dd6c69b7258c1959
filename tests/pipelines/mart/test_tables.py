"""`mart:NAME@VERSION` in a spec: what it resolves to, what the night records, what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from pipelines import storage
from pipelines.artifacts import Night, Request
from pipelines.errors import DataError, SpecError
from pipelines.housekeeping.mart_tables import expire, held
from pipelines.ingestion.spec import Files, IngestSpec
from pipelines.ledger import Ledger
from pipelines.mart.address import Address
from pipelines.mart.lend import lend, named_in
from pipelines.mart.tables import find
from pipelines.reproduction.rerun import Rerun, scratch_home
from pipelines.runner import run_stage
from pipelines.settings import Settings, load

LINES = [f"{number},rome,{'yes' if number % 3 else 'no'}" for number in range(40)]
ROWS = "id,city,label\n" + "\n".join(LINES) + "\n"


def ingest(home: Settings, ledger: Ledger, night: Night, spec: dict[str, object]):
    ledger.open_night(night, "local")
    fence = ledger.begin_stage("demo", night.night, "ingest", spec)
    request = Request(stage="ingest", night=night.model_copy(update={"fence": fence}), spec=spec)
    return run_stage(request, home)


def test_a_night_reads_the_newest_version_by_its_date_and_records_which(
    home: Settings, ledger: Ledger, put, make_night: Callable[..., Night]
) -> None:
    first, _ = put(ROWS)
    night = make_night("n1", datetime.now(UTC).replace(tzinfo=None).isoformat(), key=["id"])
    put(ROWS + "40,oslo,no\n")  # after the night's date
    result = ingest(home, ledger, night, {"source": "mart:visits"})
    assert result.ref.rows == 40
    (stage,) = ledger.stages("demo", "n1")
    assert stage.stats["mart"] == {"main": {"name": "visits", "version": 1, "digest": first.digest}}
    assert storage.read_table(home.storage / result.ref.uri / "raw")["city"].to_pylist() == ["rome"] * 40
    later = make_night("n2", "2100-01-01T00:00:00", key=["id"])
    assert ingest(home, ledger, later, {"source": "mart:visits"}).ref.rows == 41
    pinned = make_night("n3", "2020-01-01T00:00:00", key=["id"])
    assert ingest(home, ledger, pinned, {"source": "mart:visits@1"}).ref.rows == 40
    early = make_night("n4", "2020-01-01T00:00:00", key=["id"])
    with pytest.raises(DataError, match="nothing of a published table was known by then"):
        ingest(home, ledger, early, {"source": "mart:visits"})
    assert held(ledger, 14) == {
        ("visits", 1): "the night n1 of demo read it", ("visits", 2): "the night n2 of demo read it",
    }  # fmt: skip


def test_a_joined_table_is_one_too(home: Settings, ledger: Ledger, put, make_night, tmp_path) -> None:
    put("city,people\nrome,3\n", name="cities")
    (tmp_path / "main.csv").write_text(ROWS)
    join = {"name": "cities", "source": "mart:cities@1", "on": ["city"]}
    night = make_night("n1", key=["id"])
    result = ingest(home, ledger, night, {"source": str(tmp_path / "main.csv"), "joins": [join]})
    assert set(storage.read_table(home.storage / result.ref.uri / "raw")["people"].to_pylist()) == {"3"}
    assert list(ledger.mart_readers()) == [("cities", 1)]


def test_what_a_spec_cannot_name(home: Settings, ledger: Ledger, put) -> None:
    row, _ = put(ROWS)
    put(ROWS + "41,oslo,no\n")
    for text, what in (
        ("mart:visit", "no such published table"),
        ("mart:visits@9", "no such version"),
        ("mart:visits@0", "names no published table"),
    ):
        with pytest.raises(SpecError, match=what):
            find(ledger, text)
    with pytest.raises(SpecError, match="no such published table") as caught:
        find(ledger, "mart:visit")
    assert "did you mean 'visits'?" in caught.value.seen
    expire(home, ledger, "mart:visits@1", 14, "ada", "wrong prices").remove_from(home)
    assert not (home.storage / row.uri).exists()
    with pytest.raises(SpecError, match="has expired") as caught:
        find(ledger, "mart:visits@1")
    assert "by ada: wrong prices" in caught.value.seen
    assert find(ledger, "mart:visits").version == 2
    expire(home, ledger, "mart:visits@2", 14, "ada", "too").remove_from(home)
    with pytest.raises(DataError, match="all versions of a published table expired"):
        find(ledger, "mart:visits")
    assert put(ROWS)[0].version == 3  # a number is never used again


@pytest.mark.parametrize("text", ["mart:", "mart:A", "mart:a@", "mart:a@x", "mart:a@01", "mart:../x@1", "mart:a@1/b"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        IngestSpec(source=text)
    assert "names no published table" in caught.value.faults[0]


def test_options_of_files_do_not_fit() -> None:
    assert Address.read("mart:a") == ("a", None)
    with pytest.raises(SpecError) as caught:
        Files(path="mart:a@1", header=True, file_date="%Y")
    assert "['header', 'file_date'] say how files are read" in caught.value.faults[0]


def test_a_dry_run_is_lent_what_its_spec_names(home: Settings, ledger: Ledger, put, tmp_path) -> None:
    put(ROWS)
    put("a\n1\n", name="other")
    assert named_in('source="mart:visits@1"; other="mart:visits" # mart:NAME') == ["mart:visits@1", "mart:visits"]
    other = load(home=tmp_path / "scratch").ensure()
    lend(home, other, ["mart:visits@1", "mart:visits"])
    with Ledger.open(other) as own:
        assert [row.address for row in own.mart_tables()] == ["mart:visits@1"]
        assert (other.storage / own.mart_tables()[0].uri / "manifest.json").is_file()


@pytest.mark.slow
def test_a_model_is_drawn_up_from_a_published_table(home: Settings, put, tmp_path) -> None:
    from here import aimass

    put(ROWS)
    (tmp_path / "dags").mkdir(exist_ok=True)
    words = ("--source", "mart:visits@1", "--target", "label", "--positive", "yes", "--key", "id")
    said = aimass("init", "demo", *words, folder=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "mart:visits@1" in (tmp_path / "dags" / "retrain_demo.py").read_text()
    wrong = aimass("init", "other", "--source", "mart:none", "--target", "label", folder=tmp_path)
    assert "no such published table" in wrong.stderr


def test_a_night_done_again_reads_the_same_version(home: Settings, ledger: Ledger, put, make_night) -> None:
    first, _ = put(ROWS)
    now = datetime.now(UTC).replace(tzinfo=None).isoformat()
    done = ingest(home, ledger, make_night("n1", now, key=["id"]), {"source": "mart:visits"})
    put(ROWS + "40,oslo,no\n")
    shutil.rmtree(storage.resolve(home, done.ref.uri))  # its snapshot was tidied away
    with scratch_home(home) as scratch:
        again = Rerun(home, ledger, scratch, ledger.night("demo", "n1"))
        result = again.run("ingest")
        again.close()
    assert (result.ref.digest, result.reused) == (done.ref.digest, False)
    assert result.stats["mart"]["main"]["version"] == first.version
