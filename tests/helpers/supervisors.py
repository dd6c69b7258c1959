"""A supervisor that only remembers."""

from __future__ import annotations


class Parts:
    """A supervisor in memory."""

    def __init__(self) -> None:
        self.running: dict[str, int] = {}
        self.commands: dict[str, list[str]] = {}
        self.environments: dict[str, dict[str, str]] = {}
        self.killed: list[str] = []
        self.next_pid = 100

    def names(self) -> set[str]:
        return {*self.running, "mlflow"}

    def pid(self, name: str) -> int | None:
        return self.running.get(name)

    def add(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.commands[name] = command
        self.environments[name] = environment
        self.die(name)

    def die(self, name: str) -> None:
        """Come back with another pid, as circus does."""
        self.next_pid += 1
        self.running[name] = self.next_pid

    def remove(self, name: str) -> None:
        del self.running[name]

    def kill(self, name: str) -> None:
        self.killed.append(name)
        self.die(name)
