"""`aimass people`: roles by domain, and requests to use models."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from pipelines.cli.console import command, note, open_ledger, say, show_lines

app = typer.Typer()
group = typer.Typer(
    no_args_is_help=True,
    help="Say who may do what: roles by domain, below the rights of Airflow; requests to use models, and their tokens.",
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
    show_lines(
        lines,
        as_json,
        "no roles: Airflow's rights alone decide; aimass people grant PERSON ROLE --domain NAME gives one",
    )


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
    from pipelines.people import requests, roles

    _, ledger = open_ledger()
    row = roles.revoke(ledger, domain, person, actor=getpass.getuser(), why=why)
    say(f"{row.person} has no role of {roles.told(row.domain)}")
    valid = requests.valid_tokens(ledger, row.domain, row.person)
    if valid:
        note(f"still valid until `aimass token revoke NAME`: {', '.join(valid)}")
    if not roles.owners_of(ledger, row.domain):
        note(f"nobody owns {roles.told(row.domain)}: no request to use its models can be decided on the page")


Number = Annotated[
    int, typer.Argument(metavar="ID", help="Number of the request; `aimass people requests` lists them.")
]
AsPerson = Annotated[
    str | None, typer.Option("--person", metavar="NAME", help="Account in Airflow [default: the user of this shell]")
]


@group.command(epilog="Example: aimass people request churn --for 'the shop' --per-minute 60 --per-month 100000")
@command
def request(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")],
    purpose: Annotated[str, typer.Option("--for", metavar="TEXT", help="What it is used for.")],
    per_minute: Annotated[int, typer.Option(help="Calls per minute, at most.")],
    per_month: Annotated[int, typer.Option(help="Calls per month.")],
    days: Annotated[int, typer.Option(help="Days that the token lives, 1 to 366.")] = 90,
    scope: Annotated[
        list[str] | None, typer.Option(help="predict, explain or feedback; repeatable [default: predict]")
    ] = None,
    person: AsPerson = None,
) -> None:
    """Ask to use a model; an owner of its domain decides."""
    from pipelines.cli.show import require_model
    from pipelines.people import requests

    _, ledger = open_ledger()
    require_model(ledger, model)
    who = person or getpass.getuser()
    row = requests.ask(
        ledger, model, who, purpose=purpose, per_minute=per_minute, per_month=per_month, days=days,
        scopes=scope or ["predict"],
    )  # fmt: skip
    say(f"request {row.id}: {who} asks for {', '.join(row.scopes)} of {model}, {row.rate}, {row.quota}")


@group.command("requests", epilog="Example: aimass people requests --all --model churn")
@command
def list_requests(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this model [default: all]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are decided, too; the newest 1,000.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the requests to use models that wait for a decision or whose token waits for its owner."""
    from pipelines.ledger.access_requests import OPEN

    _, ledger = open_ledger()
    rows = ledger.access_requests(model=model, states=() if everything else OPEN, most=1000)[::-1]
    lines: list[dict[str, Any]] = [
        {
            "id": row.id,
            "asked (UTC)": f"{row.at:%Y-%m-%d %H:%M}",
            "person": row.person,
            "model": row.model,
            "scopes": ", ".join(row.scopes),
            "rate": row.rate,
            "quota": row.quota,
            "state": row.state,
            "for": row.purpose,
            "by": row.decided_by,
            "why": row.why,
            "token": row.token,
        }
        for row in rows
    ]
    show_lines(lines, as_json, "no requests" if everything else "no request is open")


@group.command(epilog="Example: aimass people approve 12 --why 'agreed with the shop'")
@command
def approve(number: Number, why: Why) -> None:
    """Approve a request: whoever asked can draw the token, once."""
    _decide(number, "approve", why)


@group.command(epilog="Example: aimass people refuse 12 --why 'use churn_eu for customers of the EU'")
@command
def refuse(number: Number, why: Why) -> None:
    """Refuse a request with a reason, which the person reads."""
    _decide(number, "refuse", why)


def _decide(number: int, decision: str, why: str) -> None:
    from pipelines.people import requests

    _, ledger = open_ledger()
    row = requests.decide(ledger, number, decision, actor=getpass.getuser(), why=why)
    say(f"request {row.id} of {row.person} for {row.model} is {row.state}")


@group.command(epilog="Example: aimass people token 12")
@command
def token(number: Number, person: AsPerson = None) -> None:
    """Draw the token of an approved request; its text is shown this once."""
    from pipelines.people import requests

    _, ledger = open_ledger()
    row, text = requests.draw(ledger, number, person or getpass.getuser())
    note(f"{row.token}: {', '.join(row.scopes)} of {row.model}, {row.rate}, {row.quota}, {row.days} days")
    say(text)
