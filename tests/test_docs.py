"""The documents say what is there: commands exist, links resolve, settings are all described."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from pipelines.child_environment import variable
from pipelines.cli.main import app
from pipelines.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)")
COMMANDS = typer.main.get_group(app).commands  # type: ignore[attr-defined]


def quoted_commands(text: str) -> list[list[str]]:
    """Return every ``aimass …`` line in code, as words; an environment variable before it is left out."""
    found = []
    for block, inline in CODE.findall(text):
        for line in (block or inline).splitlines():
            match = re.match(r"(?:\S*=\S+ )*(?:\S*/)?aimass(?: (.*))?$", line.strip())
            if match and match.group(1):
                found.append(shlex.split(match.group(1).replace("[", " ").replace("]", " "), comments=True))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist_with_their_options(name: str) -> None:
    for words in quoted_commands((ROOT / name).read_text()):
        if words[0] in ("…", "..."):
            continue
        assert words[0] in COMMANDS, words
        command = COMMANDS[words[0]]
        if hasattr(command, "commands"):
            assert {word for word in words[1:2] if not word.startswith("--")} <= set(command.commands), words
            assert len(words) > 1 or command.invoke_without_command, words
            command = command.commands[words[1]] if words[1:2] and not words[1].startswith("--") else command
        options = {option for parameter in command.params for option in parameter.opts}
        for word in words[1:]:
            if word.startswith("--"):
                assert word.split("=")[0] in options, words


@pytest.mark.parametrize("name", NAMES)
def test_relative_links_resolve(name: str) -> None:
    page = ROOT / name
    for link in LINK.findall(page.read_text()):
        if not re.match(r"[a-z]+:|#", link):
            assert (page.parent / link.split("#")[0]).exists(), link


def test_readme_lists_every_command() -> None:
    listed = {words[0] for words in quoted_commands((ROOT / "README.md").read_text())}
    assert set(COMMANDS) <= listed, sorted(set(COMMANDS) - listed)


def test_make_targets_in_the_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for block, inline in CODE.findall(page.read_text()):
            for line in (block or inline).splitlines():
                if line.startswith("make "):
                    words = shlex.split(line, comments=True)[1:]
                    assert {word for word in words if "=" not in word} <= targets, (page.name, line)


def settings_table() -> str:
    """Return docs/settings.md's table as the code has it."""
    defaults = {"home": "`.aimass`, found upward", "dags_folder": "`dags` beside the home", "cores": "all usable"}
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for field, info in Settings.model_fields.items():
        default = defaults.get(field) or ("see there" if info.default is None else f"`{info.default}`")
        lines.append(f"| `{variable(field)}` | {default} | {' '.join((info.description or '').split())} |")
    return "\n".join(lines) + "\n"


def test_settings_page_is_what_the_code_says() -> None:
    assert settings_table() in (ROOT / "docs" / "settings.md").read_text(), settings_table()


def test_decisions_are_numbered_without_a_gap_and_complete() -> None:
    pages = sorted(path for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in pages] == list(range(len(pages)))
    for page in pages[1:]:
        text = page.read_text()
        assert text.startswith(f"# {page.name[:4]} ")
        for part in ("**Status**", "## Context", "## Decision", "## Reason", "## Price"):
            assert part in text, (page.name, part)


def test_layout_is_as_designed() -> None:
    files = [
        "pyproject.toml",
        "requirements.lock",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        ".ci/run",
    ]
    for name in (*files, ".pre-commit-config.yaml", "plugins/.airflowignore"):
        assert (ROOT / name).is_file(), name
    folders = "dags plugins/aimass_airflow pipelines expectations bentos tests docker docs/adr docs/runbooks"
    for name in folders.split():
        assert (ROOT / name).is_dir(), name
    rooms = (
        "ingestion sampling cleaning validation splitting features tuning ensembling evaluation registry packaging "
        "deployment monitoring backup inference algorithms gateway local cli ledger"
    )
    for room in rooms.split():
        assert (ROOT / "pipelines" / room / "__init__.py").is_file(), room


def test_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_library_is_imported_from_this_checkout() -> None:
    import pipelines

    assert Path(pipelines.__file__ or "").parent == ROOT / "pipelines"
