"""Renders a model's DAG file, and finds where a file departs from the template."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from pipelines.errors import SpecError
from pipelines.ingestion.spec import Files
from pipelines.spec import ModelSpec, Spec

VARIABLES = (
    "MODEL",
    "INGEST",
    "SAMPLE",
    "CLEAN",
    "VALIDATE",
    "SPLIT",
    "FEATURES",
    "TUNE",
    "ENSEMBLE",
    "EVALUATE",
    "REGISTER",
    "PACKAGE",
    "DEPLOY",
)
"""The specs at the top of a DAG file, in order."""
CLASSES = (
    "ModelSpec",
    "IngestSpec",
    "SampleSpec",
    "CleanSpec",
    "ValidateSpec",
    "SplitSpec",
    "FeatureSpec",
    "TuneSpec",
    "EnsembleSpec",
    "EvaluateSpec",
    "RegisterSpec",
    "PackageSpec",
    "DeploySpec",
)
WITHOUT_TARGET = {"clustering": "the cluster of a row, without labels", "reduction": "fewer numbers for a row"}
WIDTH = 100
PARTS = (
    ("sources", "INGEST", "IngestSpec"),
    ("cleaning", "CLEAN", "CleanSpec"),
    ("features", "FEATURES", "FeatureSpec"),
)
"""Specs with parts that a DAG file imports as needed: word of the template, variable, class."""
_SPECS_WITH_PARTS = {
    "pipelines.ingestion.spec": "IngestSpec",
    "pipelines.cleaning.spec": "CleanSpec",
    "pipelines.features.spec": "FeatureSpec",
}
"""Their modules."""


DRAFT = "# To be decided before the first night (then delete this note):"
"""First line of the note in a DAG file that `aimass init` could not finish."""


def is_draft(dag: Path) -> bool:
    """Tell whether a DAG file is a draft that `aimass init` could not finish."""
    return dag.is_file() and DRAFT in dag.read_text().splitlines()


def render(model: ModelSpec, specs: dict[str, Spec], decide: Sequence[str] = ()) -> str:
    """Return the text of a DAG file.

    Parameters
    ----------
    specs
        By variable (``INGEST``, …); a stage that is absent stands there with its defaults.
    decide
        What must be decided before the first night, line by line; makes the file a draft.
    """
    written = {"MODEL": model, **specs}
    texts = [
        (variable, spec_text(written[variable]) if variable in written else f"{cls}()")
        for variable, cls in zip(VARIABLES, CLASSES, strict=True)
    ]
    imported = {
        word: ", ".join(sorted({cls} | (_classes(written[variable]) if variable in written else set())))
        for word, variable, cls in PARTS
    }
    note = [DRAFT, *(f"#   {_comment(line)}" for line in decide)] if decide else []
    predicts = _prose(model.target) + (f", the probability of {_prose(model.positive)}" if model.positive else "")
    predicts = predicts if model.supervised else WITHOUT_TARGET[model.task]
    return _fill(
        texts, **imported, decide=note, name=model.name, owner=_prose(model.owner, mark=False), predicts=predicts
    )


def spec_text(spec: Spec) -> str:
    """Return the source text of a spec: the fields that are not at their default, one per line if there are many."""
    name = type(spec).__name__
    fields = [
        f"{field}={_literal(value)}"
        for field, value in spec
        if type(spec).model_fields[field].is_required()
        or value != type(spec).model_fields[field].get_default(call_default_factory=True)
    ]
    one_line = f"{name}({', '.join(fields)})"
    if len(one_line) <= WIDTH and "\n" not in one_line:
        return one_line
    return f"{name}(\n" + "".join(f"    {_indented(field)},\n" for field in fields) + ")"


def template_drift(dag_file: Path) -> list[str]:
    """Return the differences of a DAG file from the template, as a diff; docstring, specs and schedule may differ.

    Raises
    ------
    SpecError
        If the file is not Python.
    """
    try:
        seen = _skeleton(dag_file.read_text())
    except (SyntaxError, ValueError) as error:
        raise SpecError(
            "a DAG file cannot be read",
            where=str(dag_file),
            seen=str(error),
            expected="Python",
            cure="correct the file",
        ) from None
    texts = [(variable, f"{cls}()") for variable, cls in zip(VARIABLES, CLASSES, strict=True)]
    wanted = _skeleton(
        _fill(texts, **{word: cls for word, _, cls in PARTS}, decide=[], name="x", owner="x", predicts="x")
    )
    return [
        line
        for line in difflib.unified_diff(wanted, seen, "template", dag_file.name, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]


def _comment(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)[:300]


def _fill(texts: Sequence[tuple[str, str]], **words: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # noqa: S701 # the result is Python, not HTML; values come as literals from _literal
        keep_trailing_newline=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("retrain.py.jinja").render(specs=texts, **words)


def _skeleton(text: str) -> list[str]:
    """Return the statements of a DAG file without docstring, comments, specs and schedule."""
    tree = ast.parse(text)
    body = [
        node
        for index, node in enumerate(tree.body)
        if not (index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (
            isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in VARIABLES
        )
    ]
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.ImportFrom) and node.module in _SPECS_WITH_PARTS:
            node.names = [ast.alias(_SPECS_WITH_PARTS[node.module])]
        if isinstance(node, ast.keyword) and node.arg == "schedule":
            node.value = ast.Constant("free")
    return [line for node in body for line in ast.unparse(node).splitlines()]


def _classes(value: Any) -> set[str]:
    """Return the names of the spec classes that the text of a value mentions."""
    if isinstance(value, Spec):
        inner = {name for _, item in value for name in _classes(item)}
        return inner if _is_path(value) else {type(value).__name__, *inner}
    if isinstance(value, dict):
        return {name for item in value.values() for name in _classes(item)}
    if isinstance(value, tuple | list):
        return {name for item in value for name in _classes(item)}
    return set()


def _is_path(value: Any) -> bool:
    """Tell whether a source can be written as its path alone."""
    return isinstance(value, Files) and value == Files(path=value.path)


def _literal(value: Any) -> str:
    if _is_path(value):
        return _literal(value.path)
    if isinstance(value, Spec):
        return spec_text(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if isinstance(value, tuple | list):
        items = [_literal(item) for item in value]
        if sum(map(len, items)) > WIDTH - 30:
            return "(\n" + "".join(f"    {_indented(item)},\n" for item in items) + ")"
        return "(" + ", ".join(items) + ("," if len(items) == 1 else "") + ")"
    if isinstance(value, dict):
        items = [f"{_literal(key)}: {_literal(item)}" for key, item in value.items()]
        if sum(map(len, items)) > WIDTH - 30:
            return "{\n" + "".join(f"    {_indented(item)},\n" for item in items) + "}"
        return "{" + ", ".join(items) + "}"
    return repr(value)


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def _prose(text: str, mark: bool = True) -> str:
    """Return a name for use in the docstring: no quote or backslash that could end it, no mark-up."""
    safe = "".join(sign if sign.isprintable() and sign not in '\\"`{}' else " " for sign in text)
    return f"`{safe}`" if mark else safe
