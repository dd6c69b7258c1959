"""`aimass catalog`: what people say of models; found by search."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.console import command, note, open_ledger, say, table
from pipelines.errors import SpecError

app = typer.Typer()
group = typer.Typer(
    no_args_is_help=True,
    help="Describe models, find them, annotate, rate, share and archive them.",
    epilog='Example: aimass catalog describe churn --description @churn.md --domain sales --use-case "call list"',
)
app.add_typer(group, name="catalog")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason; the ledger keeps it.")]
LARGEST_FILE = 256 * 1024


@group.command(epilog="Example: aimass catalog show churn")
@command
def show(name: Name, as_json: AsJson = False) -> None:
    """Show the entry of a model: description, owner, tags, use cases, notes and ratings."""
    from pipelines.catalog import verbs
    from pipelines.catalog.entries import note_json, rating_json
    from pipelines.text_table import text_table

    _, ledger = open_ledger()
    entry = verbs.show(ledger, name)
    notes = [note_json(row) for row in ledger.notes(name)]
    ratings = [rating_json(row) for row in ledger.ratings(name)]
    if as_json:
        say(json.dumps({**entry.as_json(), "notes": notes, "ratings": ratings}, indent=2, ensure_ascii=False))
        return
    stars = "-" if entry.stars is None else f"{entry.stars:.1f} of 5 by {entry.raters}"
    lines = [
        ["model", f"{name} ({entry.task})"],
        *([["archived", entry.archived.removeprefix("archived ")]] if entry.archived else []),
        *([each, getattr(entry, each) or "-"] for each in ("domain", "owner", "licence")),
        ["tags", " ".join(entry.tags) or "-"],
        ["use cases", "; ".join(entry.use_cases) or "-"],
        ["related", ", ".join(entry.related) or "-"],
        ["rating", stars],
        ["revision", str(entry.revision)],
    ]
    for line in text_table(lines):
        say(line)
    if entry.description:
        say(f"\n{entry.description}")
    for title, rows in (("notes", notes), ("ratings", ratings)):
        if rows:
            say("")
            table([title.removesuffix("s"), *list(rows[0])[1:]], [list(row.values()) for row in rows])


@group.command(epilog='Example: aimass catalog search "late payments" --tag finance')
@command
def search(
    text: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="Words; each must be found somewhere [default: all models]")
    ] = "",
    *,
    domain: Annotated[str, typer.Option(metavar="TEXT", help="Only of this domain.")] = "",
    tag: Annotated[str, typer.Option(metavar="TAG", help="Only with this tag.")] = "",
    owner: Annotated[str, typer.Option(metavar="TEXT", help="Only of this owner.")] = "",
    archived: Annotated[bool, typer.Option("--archived", help="Only archived ones, which are left out else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find models by name, description, tags, columns, use cases, owner and notes; the best fit first."""
    from pipelines.catalog.search import Filter
    from pipelines.catalog.search import search as find

    hits = find(open_ledger()[1], text, Filter(domain, tag, owner, archived))
    if as_json:
        found = [{**hit.entry.as_json(), "score": hit.score, "found_in": list(hit.where)} for hit in hits]
        say(json.dumps(found, indent=2, ensure_ascii=False))
    elif hits:
        rows = [
            [
                hit.entry.model,
                hit.entry.domain or None,
                hit.entry.owner or None,
                " ".join(hit.entry.tags) or None,
                hit.entry.stars,
                ", ".join(hit.where) or None,
            ]
            for hit in hits
        ]
        table(["model", "domain", "owner", "tags", "stars", "found in"], rows)
    else:
        note("no model fits" if text or domain or tag or owner or archived else "no models yet: aimass init")


@group.command(
    epilog='Example: aimass catalog describe churn --description @churn.md --owner crm --use-case "call list"'
)
@command
def describe(
    name: Name,
    *,
    description: Annotated[
        str | None, typer.Option(metavar="TEXT|@FILE", help="Markdown; @FILE reads a file, @- standard input.")
    ] = None,
    domain: Annotated[str | None, typer.Option(metavar="TEXT", help="Domain, such as sales.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="TEXT", help="Who is asked about the model.")] = None,
    licence: Annotated[str | None, typer.Option(metavar="TEXT", help="Who may use it for what.")] = None,
    use_case: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="What it is for; repeatable.")] = None,
    related: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A related model; repeatable.")] = None,
    clear: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Take back what was said of this field; repeatable.")
    ] = None,
    revision: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Refuse if somebody changed the entry since this revision.")
    ] = None,
) -> None:
    """Say what a model is; what is not named stays. The DAG file's owner is shown until somebody names another."""
    from pipelines.catalog import verbs

    given: dict[str, Any] = {
        "description": _read(description),
        "domain": domain,
        "owner": owner,
        "licence": licence,
        "use_cases": use_case,
        "related": related,
    }
    fields = {field: value for field, value in given.items() if value is not None}
    cleared = {field.replace("-", "_"): None for field in clear or ()}
    if both := sorted(fields.keys() & cleared.keys()):
        raise SpecError("a field is set and cleared at once", where=name, seen=", ".join(both), expected="one of both")
    if not fields and not cleared:
        raise SpecError(
            "nothing is said", where=name, expected="--description, --domain, …; aimass catalog describe -h"
        )
    row = verbs.describe(open_ledger()[1], name, {**fields, **cleared}, getpass.getuser(), revision)
    say(f"{name}: revision {row.revision}")


@group.command(epilog="Example: aimass catalog tag churn finance gdpr --remove draft")
@command
def tag(
    name: Name,
    add: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Tags to add.")] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag to remove; repeatable.")] = None,
) -> None:
    """Add tags to a model, or remove some; without tags show them."""
    from pipelines.catalog import verbs

    _, ledger = open_ledger()
    if add or remove:
        row = verbs.tag(ledger, name, add or [], remove or [], getpass.getuser())
        say(" ".join(row.tags or ()))
    else:
        say(" ".join(verbs.show(ledger, name).tags))


@group.command("note", epilog='Example: aimass catalog note churn "prices were wrong until March" --version 7')
@command
def annotate(
    name: Name,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT|@FILE]", help="The note, in Markdown.")] = None,
    version: Annotated[int | None, typer.Option(metavar="V", min=1, help="About this version [default: all]")] = None,
    remove: Annotated[int | None, typer.Option(metavar="N", min=1, help="Remove the note of this number.")] = None,
) -> None:
    """Write a note on a model or a version, with your name and the time; or remove one."""
    from pipelines.catalog import verbs

    if (text is None) == (remove is None):
        raise SpecError("a note is written or removed", where=name, expected="TEXT or --remove N, and not both")
    _, ledger = open_ledger()
    if remove is not None:
        verbs.remove_note(ledger, name, remove, getpass.getuser(), any_of=True)  # whoever is here may write the ledger
        say(f"note {remove} is removed")
        return
    row = verbs.annotate(ledger, name, _read(text), getpass.getuser(), version)
    say(f"note {row.id} on {name}{f' version {version}' if version else ''}")


@group.command(epilog='Example: aimass catalog rate churn 4 --text "good, but late on Mondays"')
@command
def rate(
    name: Name,
    stars: Annotated[int | None, typer.Argument(metavar="[STARS]", help="1 to 5.")] = None,
    text: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back your rating.")] = False,
) -> None:
    """Rate a model, 1 to 5 stars; a later rating of yours replaces the one before."""
    from pipelines.catalog import verbs

    if (stars is None) != withdraw:
        raise SpecError("a rating is given or taken back", where=name, expected="STARS or --withdraw, and not both")
    _, ledger = open_ledger()
    if withdraw:
        verbs.withdraw(ledger, name, getpass.getuser())
        say(f"{name}: your rating is taken back")
    else:
        row = verbs.rate(ledger, name, stars, text, getpass.getuser())
        say(f"{name}: {row.stars} of 5 by {row.actor}")


@group.command(epilog='Example: aimass catalog archive churn --pause --why "replaced by churn_eu"')
@command
def archive(
    name: Name,
    why: Why,
    pause: Annotated[
        bool, typer.Option("--pause", help="Also pause it for its callers, where a version is live.")
    ] = False,
) -> None:
    """Archive a model: it is listed no more unless asked for, and its nights are skipped. Nothing is deleted."""
    from pipelines.catalog import verbs

    verbs.archive(open_ledger()[1], name, why, getpass.getuser(), pause=pause)
    say(f"{name} is archived; its nights are skipped; aimass catalog unarchive {name} --why TEXT takes it back")


@group.command(epilog='Example: aimass catalog unarchive churn --why "needed again"')
@command
def unarchive(name: Name, why: Why) -> None:
    """Take a model out of the archive; its nights run again, and a paused one stays paused."""
    from pipelines.catalog import verbs

    _, ledger = open_ledger()
    verbs.unarchive(ledger, name, why, getpass.getuser())
    say(f"{name} is listed again, and its nights run")
    if name in ledger.paused():
        note(f"it still answers no caller: aimass resume {name} --why TEXT")


@group.command(epilog="Example: aimass catalog share churn")
@command
def share(name: Name, as_json: AsJson = False) -> None:
    """Show what to send somebody: the model's page, its address for programs, whose tokens may call it."""
    from pipelines.catalog import verbs
    from pipelines.text_table import text_table

    facts = verbs.share(*open_ledger(), name)
    if as_json:
        say(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    shown = {**facts, "callers": ", ".join(facts["callers"]) or "nobody: " + facts["invite"]}
    for line in text_table([[field, "-" if value in (None, "") else str(value)] for field, value in shown.items()]):
        say(line)


def _read(text: str | None) -> str | None:
    """Return a text, or that of the file that ``@FILE`` names."""
    if text is None or not text.startswith("@"):
        return text
    try:
        raw = sys.stdin.buffer.read(LARGEST_FILE) if text == "@-" else Path(text[1:]).read_bytes()[:LARGEST_FILE]
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise SpecError("this file cannot be read", where=text[1:], seen=reason, expected="a text in UTF-8") from None
