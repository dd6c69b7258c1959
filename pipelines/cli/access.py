"""The commands of tokens and usage."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines.cli.console import command, current_settings, note, open_ledger, say, table
from pipelines.errors import SpecError

app = typer.Typer()


class _Tokens(TyperGroup):
    """``aimass token NAME`` creates a token, as ``aimass token create NAME`` does."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take a first word that is no command for the name of a token."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["revoke" if "--revoke" in args else "create", *(word for word in args if word != "--revoke")]
        return super().resolve_command(ctx, args)


tokens = typer.Typer(
    cls=_Tokens,
    no_args_is_help=True,
    help="Create, list or revoke tokens for the prediction API; `aimass token NAME` creates one.",
    epilog="Example: aimass token create app --scope predict:churn --expires 30d --rate 100/min --quota 1e6/month",
)
app.add_typer(tokens, name="token")

UNITS = {"h": 1 / 24, "d": 1.0, "w": 7.0}


def days_of(text: str) -> float:
    """Read a duration such as ``30d``, ``12h`` or ``2w``; a bare number is days.

    Raises
    ------
    SpecError
        If it is none, or longer than 366 days.
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "d")
    try:
        days = float(number) * UNITS[unit]
    except ValueError:
        days = 0.0
    if not 0 < days <= 366:
        raise SpecError(
            "this is no time to live", where="--expires", seen=text, expected="such as 30d, 12h or 2w, at most 366 days"
        )
    return days


def checked_scopes(scopes: list[str], models: list[str]) -> list[str]:
    """Return the scopes of a token, each for every one of ``models``; ``predict`` where none is given.

    Raises
    ------
    SpecError
        If one is unknown.
    """
    from pipelines.ledger.access import SCOPES

    found = [part.strip() for scope in scopes for part in scope.split(",")] or ["predict"]
    for scope in found:
        name, _, of_model = scope.partition(":")
        if name not in SCOPES or (":" in scope and not of_model):
            raise SpecError(
                "no such scope", where="--scope", seen=scope, expected=", ".join(SCOPES), cure="such as predict:churn"
            )

    def each_model(scope: str) -> list[str]:
        whole = not models or ":" in scope or scope == "admin"
        return [scope] if whole else [f"{scope}:{model}" for model in models]

    return [each for scope in found for each in each_model(scope)]


@tokens.command(epilog="Example: aimass token create app --scope predict:churn --expires 30d --rate 100/min")
@command
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token; one of the same name is replaced.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE[:MODEL]",
            help="predict, explain, feedback, metrics, data (of a table), catalog, catalog-write or admin; repeatable"
            " [default: predict]",
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this model; repeatable [default: all]")
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="Such as 30d, 12h, 2w [default: 30d]")] = None,
    days: Annotated[float | None, typer.Option(min=0.01, max=366, help="Days until it expires.")] = None,
    rate: Annotated[str | None, typer.Option(metavar="N/UNIT", help="Such as 100/min: further ones get 429.")] = None,
    quota: Annotated[str | None, typer.Option(metavar="N/UNIT", help="Such as 1e6/month, of the calendar.")] = None,
) -> None:
    """Create a token for the prediction API; its text is shown this once."""
    from pipelines.gateway.quotas import parse_limit, parse_quota

    if rate is not None:
        parse_limit(rate)
    if quota is not None:
        parse_quota(quota)
    lives = days if days is not None else days_of(expires or "30d")
    _, ledger = open_ledger()
    say(ledger.issue_token(name, checked_scopes(scope or [], model or []), lives, rate, quota))


@tokens.command("list", epilog="Example: aimass token list")
@command
def list_tokens() -> None:
    """List the tokens: scopes, limits, and how long they are valid; never their texts."""
    _list_tokens(None)


@app.command("tokens", epilog="Example: aimass tokens churn")
@command
def tokens_of(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="That may ask this model [default: all]")] = None,
) -> None:
    """List the tokens, or those that may ask one model."""
    _list_tokens(name)


def _list_tokens(model: str | None) -> None:
    from pipelines.cli.show import require_model

    _, ledger = open_ledger()
    if model is not None:
        require_model(ledger, model)
    rows = [row for row in ledger.tokens() if model is None or any(_covers(scope, model) for scope in row.scopes)]
    if not rows:
        note("no tokens: aimass token create NAME makes one")
        return
    moment = datetime.now(UTC)
    cells = [
        [
            row.name,
            " ".join(row.scopes),
            row.rate or "",
            row.quota or "",
            "revoked" if row.revoked_at else "expired" if row.expires_at <= moment else "valid",
            row.expires_at.strftime("%Y-%m-%d %H:%M"),
        ]
        for row in rows
    ]
    table(["token", "scopes", "rate", "quota", "state", "expires (UTC)"], cells)


def _covers(scope: str, model: str) -> bool:
    name, _, of_model = scope.partition(":")
    return name != "data" and of_model in ("", model)


@tokens.command(epilog="Example: aimass token revoke app")
@command
def revoke(name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token.")]) -> None:
    """Revoke a token; running gateways refuse it within five seconds."""
    _, ledger = open_ledger()
    if not ledger.revoke_token(name):
        known = ", ".join(row.name for row in ledger.tokens()) or "none"
        raise SpecError("no such token", seen=name, expected=known)
    say(f"{name} revoked")


@app.command(epilog="Example: aimass usage --month 2026-11 --output bill.csv")
@command
def usage(
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="The month, UTC [default: the present one]")
    ] = None,
    token: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this token [default: all]")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the bill as CSV; - for stdout.")] = None,
) -> None:
    """Show what each token asked of each model in a month and what it costs by the home's prices.json."""
    from pipelines.gateway.prices import Prices, bill

    settings, ledger = current_settings(), open_ledger()[1]
    start, end = month_of(month)
    lines = bill(ledger.usage(start, end, token), Prices.load(settings.home))
    if output is not None:
        _write_csv(lines, output)
        if str(output) != "-":
            say(f"{output}: {len(lines)} lines, {start:%Y-%m}")
        return
    if not lines:
        note(f"nothing was asked for in {start:%Y-%m}")
        return
    names = ["token", "model", "requests", "errors", "rows", "cost"]
    table(names, [[str(line[name]) for name in names] for line in lines])
    say(f"{start:%Y-%m}: {sum(line['cost'] for line in lines)} {lines[0]['currency']}")


def month_of(text: str | None) -> tuple[date, date]:
    """Return the first and the last day of a month such as ``2026-11``; None: the present one.

    Raises
    ------
    SpecError
        If it is none.
    """
    try:
        start = (datetime.now(UTC) if text is None else datetime.strptime(text, "%Y-%m")).date().replace(day=1)  # noqa: DTZ007 - a month has no zone
    except ValueError:
        raise SpecError("this is no month", where="--month", seen=text, expected="such as 2026-11") from None
    after = (start + timedelta(days=32)).replace(day=1)
    return start, after - timedelta(days=1)


def _write_csv(lines: list[dict[str, Any]], output: Path) -> None:
    import io

    from pipelines.artifacts import write_atomic

    text = io.StringIO()
    names = ["token", "model", "requests", "errors", "rows", "cost", "currency"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    if str(output) == "-":
        say(text.getvalue().rstrip("\n"))
    else:
        write_atomic(output, text.getvalue())
