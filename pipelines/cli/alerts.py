"""`aimass alerts`: the alerts, their silences, and a test of the channels."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines.cli.console import FAILED, command, current_settings, note, open_ledger, say, table
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.spec import did_you_mean


class _Alerts(TyperGroup):
    """``aimass alerts`` and ``aimass alerts NAME`` list alerts, as ``aimass alerts list NAME`` does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take a first word that is no command for an argument of the list."""
        known = (*self.commands, *ctx.help_option_names)
        found: list[str] = super().parse_args(ctx, args if args[:1] and args[0] in known else ["list", *args])
        return found


app = typer.Typer()
group = typer.Typer(
    cls=_Alerts,
    invoke_without_command=True,
    help="List open alerts; silence some; test the channels that they are sent through.",
)
app.add_typer(group, name="alerts", epilog="Example: aimass alerts churn --all")

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
LONGEST = timedelta(days=366)


@group.command("list", epilog="Example: aimass alerts list churn --all")
@command
def list_alerts(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of one model [default: all]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List open alerts: since when, what about, what to do; exit code 1 if there is one."""
    from pipelines.cli.show import require_model

    settings, ledger = open_ledger()
    if name is not None:
        require_model(ledger, name)
    rows = [row for row in ledger.alerts(open_only=not everything) if name is None or row.model == name]
    silences = ledger.silences()
    lines = [_alert_line(row, silences) for row in rows]
    if as_json:
        say(json.dumps(lines, indent=2, ensure_ascii=False))
    elif rows:
        header = ["since (UTC)", "until", "model", "kind", "fingerprint", "silent until", "message"]
        table(header, [list(line.values()) for line in lines])
    else:
        note("no alert" + ("" if everything else " is open"))
    for line in failing(settings, ledger):
        note(line)
    if any(row.resolved_at is None for row in rows):
        raise typer.Exit(1)


def _alert_line(row: Any, silences: list[Any]) -> dict[str, Any]:
    until = [each.until for each in silences if each.covers(row, datetime.now(UTC))] if not row.resolved_at else []
    return {
        "since": f"{row.fired_at:%Y-%m-%d %H:%M}",
        "until": f"{row.resolved_at:%Y-%m-%d %H:%M}" if row.resolved_at else None,
        "model": row.model,
        "kind": row.kind,
        "fingerprint": row.fingerprint,
        "silent_until": f"{max(until):%Y-%m-%d %H:%M}" if until else None,
        "message": row.message,
    }


def failing(settings: Settings, ledger: Ledger) -> list[str]:
    """Return a line for each channel that is set and does not take messages."""
    from pipelines.alerting.channels import channels_of

    names = {channel.name for channel in channels_of(settings)}
    return [
        f"alerts by {row.name} fail since {row.failing_since:%Y-%m-%d %H:%M} UTC, {row.failures} times: {row.error}"
        for row in ledger.channels()
        if row.name in names and row.failures
    ]


@group.command(epilog='Example: aimass alerts silence churn --kind drift --for 2h --why "new unit, known"')
@command
def silence(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Alerts of one model [default: of all]")] = None,
    *,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Alerts of a kind, such as drift.")] = None,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="ID", help="One condition; `aimass alerts` shows its fingerprint.")
    ] = None,
    span: Annotated[str, typer.Option("--for", metavar="TIME", help="Such as 30m, 2h, 1d; at most 366d.")],
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason; it is kept.")],
) -> None:
    """Send nothing of some alerts for a while; they are still listed and logged, and it ends by itself."""
    from pipelines.cli.show import require_model

    _, ledger = open_ledger()
    if name is not None:
        require_model(ledger, name)
    if not (name or kind or fingerprint):
        raise SpecError(
            "this would silence every alert", expected="NAME, --kind or --fingerprint", cure="aimass alerts lists them"
        )
    if not why.strip():
        raise SpecError("a silence needs a reason", where="--why", seen="nothing", expected="why nobody needs to know")
    rows = ledger.alerts(open_only=False)
    for option, given, known in (
        ("--kind", kind, {row.kind for row in rows}),
        ("--fingerprint", fingerprint, {row.fingerprint for row in rows}),
    ):
        if given is not None and given not in known:
            note(f"no alert had {option} {given} so far{did_you_mean(given, known)}")
    until = datetime.now(UTC) + span_of(span)
    made = ledger.silence(name, kind, fingerprint, until=until, why=why.strip(), actor=getpass.getuser())
    say(f"silence {made.id} until {until:%Y-%m-%d %H:%M} UTC; aimass alerts unsilence {made.id} ends it")


@group.command(epilog="Example: aimass alerts silences --all")
@command
def silences(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List silences: what is silent until when, who asked for it, and why."""
    _, ledger = open_ledger()
    lines = [
        {
            "silence": row.id,
            "model": row.model,
            "kind": row.kind,
            "fingerprint": row.fingerprint,
            "begun": f"{row.begun_at:%Y-%m-%d %H:%M}",
            "until": f"{row.until:%Y-%m-%d %H:%M}",
            "who": row.actor,
            "why": row.why,
        }
        for row in ledger.silences(lasting=not everything)
    ]
    if as_json:
        say(json.dumps(lines, indent=2, ensure_ascii=False))
    elif lines:
        header = ["silence", "model", "kind", "fingerprint", "begun (UTC)", "until", "who", "why"]
        table(header, [list(line.values()) for line in lines])
    else:
        note("no silence" + ("" if everything else " lasts"))


@group.command(epilog="Example: aimass alerts unsilence 3")
@command
def unsilence(number: Annotated[int, typer.Argument(metavar="N", min=1, help="Number of the silence.")]) -> None:
    """End a silence now; alerts that are still open are sent."""
    _, ledger = open_ledger()
    if ledger.end_silence(number) is None:
        lasting = ", ".join(str(row.id) for row in ledger.silences()) or "none"
        raise SpecError("no such silence lasts", seen=number, expected=lasting, cure="aimass alerts silences")
    say(f"silence {number} is over")


@group.command(epilog="Example: aimass alerts test")
@command
def test() -> None:
    """Send a test message through each channel and tell how it went; exit code 1 if one failed."""
    from pipelines.alerting.try_out import try_channels

    settings = current_settings()
    tried = try_channels(settings)
    if not tried:
        note("no channel is set: alerts go to the ledger and the log file alone; AIMASS_ALERT_MAIL, _WEBHOOK, …")
        return
    table(["channel", "result", "seconds"], [[name, why or "sent", round(took, 2)] for name, why, took in tried])
    if any(why for _, why, _ in tried):
        raise typer.Exit(FAILED)


def span_of(text: str) -> timedelta:
    """Read a time such as ``30m``, ``2h``, ``1d`` or ``1w``.

    Raises
    ------
    SpecError
        If it is none, or longer than 366 days.
    """
    unit = UNITS.get(text[-1:])
    try:
        span = float(text[:-1]) * unit if unit is not None else timedelta(0)
    except (ValueError, OverflowError):
        span = timedelta(0)
    if not timedelta(0) < span <= LONGEST:
        raise SpecError("this is no time", where="--for", seen=text, expected="such as 30m, 2h, 1d or 1w, at most 366d")
    return span
