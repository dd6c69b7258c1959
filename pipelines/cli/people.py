"""`aimass people`: the roles of people by domain."""

from __future__ import annotations

import getpass
import json
from typing import Annotated, Any

import typer

from pipelines.cli.console import command, note, open_ledger, say, table

app = typer.Typer()
group = typer.Typer(
    no_args_is_help=True,
    help="Say who may do what in the Model Center: roles by domain, below the rights of Airflow.",
    epilog="Example: aimass people grant ada operator --domain sales --why 'runs the sales models'",
)
app.add_typer(group, name="people")

Person = Annotated[str, typer.Argument(metavar="PERSON", help="Name of an account in Airflow; '*' is everybody.")]
Domain = Annotated[
    str, typer.Option("--domain", metavar="NAME", help="Models of this domain; '*' is the whole installation.")
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, which the ledger keeps.")]


@group.command("list", epilog="Example: aimass people list --domain sales")
@command
def list_people(
    domain: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this domain [default: all]")] = None,
    person: Annotated[str | None, typer.Option(metavar="PERSON", help="Only of this person [default: all]")] = None,
    log: Annotated[bool, typer.Option("--log", help="Every change, oldest first, with who and why.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List who has which role in which domain, since when, from whom and why."""
    _, ledger = open_ledger()
    rows = [
        row
        for row in (ledger.role_changes() if log else ledger.roles())
        if domain in (None, row.domain) and person in (None, row.person)
    ]
    lines: list[dict[str, Any]] = [
        {
            "domain": row.domain,
            "person": row.person,
            "role": row.role,
            "since (UTC)": f"{row.at:%Y-%m-%d %H:%M}",
            "by": row.actor,
            "why": row.why,
        }
        for row in rows
    ]
    if as_json:
        say(json.dumps(lines, indent=2, ensure_ascii=False))
    elif lines:
        table(list(lines[0]), [list(line.values()) for line in lines])
    else:
        note("no roles: Airflow's rights alone decide; aimass people grant PERSON ROLE --domain NAME gives one")


@group.command(epilog="Example: aimass people grant ada owner --domain sales --why 'head of sales analytics'")
@command
def grant(
    person: Person,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, caller, operator or owner.")],
    domain: Domain,
    why: Why,
) -> None:
    """Give a person a role in a domain; the first one restricts the domain to those who have a role."""
    from pipelines.people import roles
    from pipelines.people.domains import domains_of

    _, ledger = open_ledger()
    before = ledger.role_domains()
    row = roles.grant(ledger, domain, person, role, actor=getpass.getuser(), why=why)
    say(f"{row.person} is {row.role} of {roles.told(row.domain)}")
    if row.domain not in before:
        found = domains_of(ledger, [model.name for model in ledger.models()])
        own = [name for name, each in found.items() if row.domain in ("*", each)]
        note(f"only people with a role see and use its models from now on: {', '.join(own) or 'there is none yet'}")


@group.command(epilog="Example: aimass people revoke ada --domain sales --why 'left the team'")
@command
def revoke(person: Person, domain: Domain, why: Why) -> None:
    """Take a person's role in a domain away; the domain stays restricted."""
    from pipelines.people import roles

    _, ledger = open_ledger()
    row = roles.revoke(ledger, domain, person, actor=getpass.getuser(), why=why)
    say(f"{row.person} has no role of {roles.told(row.domain)}")
    if not roles.owners_of(ledger, row.domain):
        note(f"nobody owns {roles.told(row.domain)}: no request to use its models can be decided on the page")
