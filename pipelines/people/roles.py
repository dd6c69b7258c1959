"""Roles by domain: viewer, caller, operator, owner, each of which may do what those before it may.

They narrow what Airflow allows. A domain in which nobody was ever given a role is open to all whom Airflow lets in; a
role for the whole installation counts in every domain, and restricts every domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.roles import EVERYBODY, RoleRow
from pipelines.people.domains import EVERYWHERE
from pipelines.spec import did_you_mean

ROLES = ("viewer", "caller", "operator", "owner")
NEEDED = {
    "see": "viewer",
    "request": "viewer",
    "ask": "caller",
    "rollback": "operator",
    "promote": "operator",
    "pause": "operator",
    "resume": "operator",
    "pause-nights": "operator",
    "resume-nights": "operator",
    "start-night": "operator",
    "acknowledge": "operator",
    "silence": "operator",
    "note": "caller",
    "rate": "caller",
    "describe": "operator",
    "archive": "operator",
    "download-table": "caller",
    "evaluate": "caller",
    "export": "operator",
    "import": "owner",
    "move": "owner",
    "decide": "owner",
}
"""The least role for each action; what is not listed needs the highest."""
LONGEST_DOMAIN, LONGEST_PERSON, LONGEST_WHY = 63, 120, 500


@dataclass(frozen=True)
class Standing:
    """What a person is, in every domain.

    Parameters
    ----------
    held
        Role by domain: the person's own or everybody's, the higher one.
    restricted
        Domains in which roles were granted.
    """

    person: str
    held: Mapping[str, str]
    restricted: frozenset[str]

    def role(self, domain: str) -> str | None:
        """Return the person's role in a domain; None: there is none."""
        found = [self.held[each] for each in (domain, EVERYWHERE) if each in self.held]
        return max(found, key=ROLES.index, default=None)

    def lacks(self, action: str, domain: str) -> str | None:
        """Return the role that a person lacks for an action in a domain; None: nothing is lacking."""
        if not self.restricted & {domain, EVERYWHERE}:
            return None
        needed = NEEDED.get(action, ROLES[-1])
        role = self.role(domain)
        return None if role is not None and ROLES.index(role) >= ROLES.index(needed) else needed


def standing(ledger: Ledger, person: str) -> Standing:
    """Return what a person is; roles that a later release may have brought count as none."""
    held: dict[str, str] = {}
    for row in ledger.roles_of(person):
        if row.role in ROLES:
            held[row.domain] = max(row.role, held.get(row.domain, ROLES[0]), key=ROLES.index)
    return Standing(person, held, frozenset(ledger.role_domains()))


def owners_of(ledger: Ledger, domain: str) -> list[str]:
    """Return who owns a domain, those of the whole installation last."""
    rows = ledger.roles({domain, EVERYWHERE}, ROLES[-1])
    return list(dict.fromkeys(row.person for row in sorted(rows, key=lambda row: row.domain == EVERYWHERE)))


def told(domain: str) -> str:
    """Return a domain in words."""
    return "the whole installation" if domain == EVERYWHERE else f"the domain {domain}"


def refusal(standing: Standing, role: str, domain: str, owners: list[str]) -> str:
    """Return which role is missing, what the person is instead, and who can grant it."""
    own = standing.role(domain)
    who = ", ".join("everybody" if each == EVERYBODY else each for each in owners[:5])
    is_now = f"; you are {own} there" if own else "; you have none there"
    return f"the role {role} of {told(domain)} is missing{is_now}; owners: {who or 'none'}"


def grant(ledger: Ledger, domain: str, person: str, role: str, *, actor: str, why: str) -> RoleRow:
    """Give a person a role in a domain, in place of the one there was.

    Raises
    ------
    SpecError
        There is no such role, a name or the reason does not fit, or it is so already.
    """
    if role not in ROLES:
        raise SpecError("no such role", seen=role[:63] + did_you_mean(role, ROLES), expected=", ".join(ROLES))
    return _set(ledger, domain, person, role, actor, why)


def revoke(ledger: Ledger, domain: str, person: str, *, actor: str, why: str) -> RoleRow:
    """Take a person's role in a domain away.

    Raises
    ------
    SpecError
        The person has none there, or a name or the reason does not fit.
    """
    return _set(ledger, domain, person, None, actor, why)


def _set(ledger: Ledger, domain: str, person: str, role: str | None, actor: str, why: str) -> RoleRow:
    domain = checked_name("domain", domain, LONGEST_DOMAIN)
    person = checked_name("person", person, LONGEST_PERSON)
    why = checked("why", why, LONGEST_WHY)
    row = ledger.set_role(domain, person, role, actor=actor[:LONGEST_PERSON], why=why)
    if row is None:
        raise SpecError(
            "nothing to change",
            where=f"{person} in {told(domain)}",
            seen=f"is {role} already" if role else "has no role",
            cure="aimass people list tells who has which role",
        )
    return row


def checked(where: str, text: str, longest: int) -> str:
    """Return a reason or purpose without blanks around it.

    Raises
    ------
    SpecError
        It is empty, longer than allowed, or holds what cannot be printed.
    """
    text = text.strip()
    return _fitting(where, text, longest, text.replace("\n", " ").replace("\r", " "))


def checked_name(where: str, name: str, longest: int) -> str:
    """Return the name of a person or domain as it is: with blanks around it, it is the name of another.

    Raises
    ------
    SpecError
        It is empty, longer than allowed, has blanks around it, or holds what cannot be printed on one line.
    """
    return _fitting(where, name, longest, name if name == name.strip() else "\n")


def _fitting(where: str, text: str, longest: int, line: str) -> str:
    if not text or len(text) > longest or not line.isprintable():
        odd = ", some of which cannot be printed, or blanks around them" if 0 < len(text) <= longest else ""
        raise SpecError(
            f"this is no {where}" if where != "why" else "a change needs a reason",
            where=where,
            seen=f"{len(text)} characters{odd}",
            expected=f"1 to {longest} characters that can be printed",
        )
    return text
