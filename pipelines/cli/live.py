"""The commands about what is live: releases, rolling back, who served, the ledger's chain."""

from __future__ import annotations

import getpass
import json
from typing import Annotated, Literal

import typer

from pipelines.cli.console import command, current_settings, note, open_ledger, parse_date, say, table
from pipelines.errors import AimassError, SpecError

app = typer.Typer()
ledger_app = typer.Typer(no_args_is_help=True, help="Look after the ledger.", epilog="Example: aimass ledger verify")
app.add_typer(ledger_app, name="ledger")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]


@app.command(epilog='Example: aimass rollback churn --why "odd scores since noon"')
@command
def rollback(
    name: Name,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason; the history keeps it.")],
    to: Annotated[int | None, typer.Option(min=1, help="Version [default: the one that was live before]")] = None,
) -> None:
    """Make an earlier version live again, proved by its golden predictions and by logged requests."""
    _make_live(name, to, why, "rollback")


@app.command(epilog="Example: aimass releases churn --version 7")
@command
def releases(
    name: Name,
    version: Annotated[int | None, typer.Option(metavar="N", min=1, help="What was measured of this one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show how a model's versions came to callers: canaries that run, paused, passed or ended, and why."""
    from pipelines.cli import releases as shown

    found = shown.releases(open_ledger()[1], name, version)
    if as_json:
        say(json.dumps(found, indent=2, ensure_ascii=False))
    elif not found:
        note(f"no release of {name} is recorded yet: the next night that is promoted makes one")
    elif version is None:
        table(*shown.rows_of(found))
    else:
        for number, each in enumerate(found):
            say(("\n" if number else "") + shown.heading_of(each))
            for line in each["why"].splitlines():
                say(f"  {line}")
            if each["steps"]:
                table(*shown.step_rows_of(each))
            else:
                note("no callers were counted: it had no canary, or nobody called")


@app.command(epilog='Example: aimass promote churn 7 --why "better for new customers"')
@command
def promote(
    name: Name,
    version: Annotated[int, typer.Argument(metavar="V", min=1, help="Version that is to be live.")],
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason; the history keeps it.")],
) -> None:
    """Make a version live that its night kept, or whose canary paused; proved as a rollback is."""
    _make_live(name, version, why, "promote")


def _make_live(name: str, version: int | None, why: str, command_name: str) -> None:
    from pipelines.deployment.rollback.spec import RollbackSpec
    from pipelines.deployment.rollback.stage import run

    spec = RollbackSpec(model=name, to=version, why=why, actor=f"{command_name}:{getpass.getuser()}"[:120])
    done = run(spec, settings=current_settings()).stats
    if done["why"] == "already live":
        say(f"{name}: version {done['version']} is live already; no release is under way")
        return
    proved = f"{done['golden_rows']} golden and {done['logged_rows']} logged predictions repeated"
    if done["logged_rows_left_out"]:
        proved += f", {done['logged_rows_left_out']} left out for their private cells"
    say(f"{name}: version {done['version']} is live, {done['from'] or 'none'} was; {proved}; {done['seconds']:.1f} s")


@app.command(epilog='Example: aimass pause churn --why "prices are wrong since noon"')
@command
def pause(
    name: Name,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason; callers are told, and the ledger keeps it.")],
) -> None:
    """Let a model answer no caller until it is resumed; its nights go on, and its services keep running."""
    _set_paused(name, "pause", why)


@app.command(epilog='Example: aimass resume churn --why "prices are right again"')
@command
def resume(
    name: Name, why: Annotated[str, typer.Option(metavar="TEXT", help="The reason; the ledger keeps it.")]
) -> None:
    """Let a paused model answer callers again."""
    _set_paused(name, "resume", why)


def _set_paused(name: str, action: Literal["pause", "resume"], why: str) -> None:
    from pipelines.deployment.pause.spec import PauseSpec
    from pipelines.deployment.pause.stage import run

    spec = PauseSpec(model=name, action=action, why=why, actor=f"{action}:{getpass.getuser()}"[:120])
    done = run(spec, settings=current_settings()).stats
    state = f"answers no caller: {done['why']}" if done["paused"] else "answers callers"
    say(f"{name} {state}{'' if done['changed'] else ' (as before)'}")


@app.command(epilog="Example: aimass who-served churn --at 2026-11-28T14:00")
@command
def who_served(
    name: Name, at: Annotated[str, typer.Option(metavar="TIME", help="ISO 8601, UTC unless it says otherwise.")]
) -> None:
    """Tell which version was live at a moment, since when, and why."""
    moment = parse_date(at)
    assert moment is not None  # the option is required
    _, ledger = open_ledger()
    switches = ledger.history(name)
    if not switches:
        known = ", ".join(sorted(ledger.routes())) or "none"
        raise SpecError("this model was never live", seen=name, expected=f"one of {known}")
    before = [each for each in switches if each.at <= moment]
    if not before:
        first = switches[0]
        say(
            f"{name} at {moment:%Y-%m-%d %H:%M:%S} UTC: none; version {first.to_version} is the first, {first.at:%F %T}"
        )
        return
    last = before[-1]
    after = next((each for each in switches if each.at > moment), None)
    until = "now" if after is None else f"{after.at:%Y-%m-%d %H:%M:%S}"
    say(f"{name} at {moment:%Y-%m-%d %H:%M:%S} UTC: version {last.to_version}")
    say(f"  live {last.at:%Y-%m-%d %H:%M:%S} to {until}; by {last.actor}: {last.why}")


@ledger_app.command(epilog="Example: aimass ledger verify")
@command
def verify() -> None:
    """Verify the hash chain of all switches, and that what is live is what the chain ends with."""
    _, ledger = open_ledger()
    broken = ledger.broken_history()
    if broken is not None:
        raise AimassError(
            "the history was changed after it was written",
            where=f"entry {broken.id}: {broken.model} to version {broken.to_version}, {broken.at:%Y-%m-%d %H:%M:%S}",
            expected="the hash that its content and the entry before it give",
            cure="restore the ledger from a backup: aimass restore",
        )
    ends = {each.model: each.to_version for each in ledger.history()}
    wrong = {model: version for model, version in ledger.routes().items() if ends.get(model) != version}
    if wrong:
        raise AimassError(
            "what is live is not what the history says",
            seen=", ".join(f"{model} version {version}" for model, version in wrong.items()),
            expected=", ".join(f"{model} version {ends.get(model)}" for model in wrong),
            cure="switch with aimass rollback, never by hand",
        )
    note("every entry hashes to what it did when it was written")
    say(f"{len(ledger.history())} switches of {len(ends)} models verified")
