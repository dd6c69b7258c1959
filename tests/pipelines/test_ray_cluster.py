from __future__ import annotations

from typing import Any

import pytest

from pipelines import installation, ray_cluster
from pipelines.errors import SpecError, UnreachableError
from pipelines.ray_cluster import check_nodes, read_token
from pipelines.settings import Settings


class Nodes:
    """Ray's list of nodes."""

    def __init__(self, *cores: float) -> None:
        self.cores = cores

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": f"n{index}", "NodeManagerAddress": f"10.0.0.{index}", "Alive": True, "Resources": {"CPU": cores}}
            for index, cores in enumerate(self.cores)
        ]


@pytest.mark.parametrize(
    ("content", "mode", "seen"), [(None, 0o600, "No such file"), ("", 0o600, "empty"), ("t" * 64, 0o644, "mode 644")]
)
def test_a_token_is_in_a_file_of_its_owner_alone(home: Settings, content: str | None, mode: int, seen: str) -> None:
    path = home.secrets / "ray_token"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(SpecError, match="no token") as caught:
        read_token(home)
    assert seen in caught.value.seen
    assert str(path) in caught.value.cure
    path.write_text(" good \n")
    path.chmod(0o600)
    assert read_token(home) == "good"
    assert read_token(home.model_copy(update={"ray_token": path})) == "good"


def test_every_node_that_works_is_asked_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = installation.describe()
    other = {**here, "code": "0" * 16, "libraries": {**here["libraries"], "optuna": "0.0.1"}}
    answers = {"n1": here, "n2": other, "n3": "cannot tell what it has installed: No module named 'pipelines'"}
    monkeypatch.setattr(ray_cluster, "_ask", lambda ray, nodes, names: {node: answers[node] for node in nodes})
    assert check_nodes(Nodes(0, 2), "h:1") == ["10.0.0.1"], "the head takes no trials"
    with pytest.raises(SpecError, match="not like this machine") as caught:
        check_nodes(Nodes(0, 2, 1, 1), "h:1")
    assert "10.0.0.2, 10.0.0.3" in caught.value.where
    assert caught.value.faults == [
        f"10.0.0.2: optuna 0.0.1 instead of {here['libraries']['optuna']}; code {'0' * 16} instead of {here['code']}",
        "10.0.0.3: cannot tell what it has installed: No module named 'pipelines'",
    ]
    with pytest.raises(UnreachableError, match="no node with a core"):
        check_nodes(Nodes(0), "h:1")
