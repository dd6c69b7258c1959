"""Roles of people by domain: each change is an entry, and the newest one is in force."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select

from pipelines.ledger.connect import Connected, lock_table, now
from pipelines.ledger.rows import all_of
from pipelines.ledger.schema import role_changes

EVERYBODY = "*"
"""The person that stands for everybody who has an account."""


@dataclass(frozen=True)
class RoleRow:
    """A change of a person's role in a domain; ``role`` None: the person has none any more."""

    id: int
    at: datetime
    domain: str
    person: str
    role: str | None
    actor: str
    why: str


class RolesPart(Connected):
    """Who has which role."""

    def set_role(self, domain: str, person: str, role: str | None, *, actor: str, why: str) -> RoleRow | None:
        """Record a person's role in a domain, or that there is none any more; None: it is so already."""
        with self.transaction() as connection:
            lock_table(connection, role_changes)
            of_person = select(role_changes.c.role).where(
                role_changes.c.domain == domain, role_changes.c.person == person
            )
            last = of_person.order_by(role_changes.c.id.desc()).limit(1)
            if connection.execute(last).scalar_one_or_none() == role:
                return None
            fields = {"at": now(), "domain": domain, "person": person, "role": role, "actor": actor, "why": why}
            new = insert(role_changes).values(**fields).returning(*role_changes.c)
            return RoleRow(**connection.execute(new).one()._mapping)

    def roles(self, domains: Collection[str] | None = None, role: str | None = None) -> list[RoleRow]:
        """Return the roles in force by domain and person: all of them, those in some domains, or one role alone."""
        newest = select(func.max(role_changes.c.id)).group_by(role_changes.c.domain, role_changes.c.person)
        if domains is not None:
            newest = newest.where(role_changes.c.domain.in_(domains))
        wanted = role_changes.c.role.is_not(None) if role is None else role_changes.c.role == role
        held = select(role_changes).where(role_changes.c.id.in_(newest), wanted)
        with self.engine.connect() as connection:
            order = held.order_by(role_changes.c.domain, role_changes.c.person)
            return all_of(RoleRow, connection.execute(order))

    def role_changes(self) -> list[RoleRow]:
        """Return all changes, oldest first."""
        with self.engine.connect() as connection:
            return all_of(RoleRow, connection.execute(select(role_changes).order_by(role_changes.c.id)))

    def role_domains(self) -> set[str]:
        """Return the domains in which anybody has, or had, a role."""
        with self.engine.connect() as connection:
            return set(connection.execute(select(role_changes.c.domain).distinct()).scalars())

    def roles_of(self, person: str) -> list[RoleRow]:
        """Return the roles in force of a person, with those of everybody."""
        mine = role_changes.c.person.in_((person, EVERYBODY))
        with self.engine.connect() as connection:
            rows = all_of(RoleRow, connection.execute(select(role_changes).where(mine).order_by(role_changes.c.id)))
        newest = {(row.domain, row.person): row for row in rows}
        return [row for row in newest.values() if row.role is not None]
