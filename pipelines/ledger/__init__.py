"""The project's own tables: the source of truth on what is live and why."""

from pipelines.ledger.access import AccessPart
from pipelines.ledger.access_requests import AccessRequestsPart
from pipelines.ledger.actions import ActionsPart
from pipelines.ledger.alerts import AlertsPart
from pipelines.ledger.catalog import CatalogPart
from pipelines.ledger.deleting import DeletingPart
from pipelines.ledger.deliveries import DeliveriesPart
from pipelines.ledger.hosts import HostsPart
from pipelines.ledger.mart import MartPart
from pipelines.ledger.nights import NightsPart, SupersededError
from pipelines.ledger.overview import OverviewPart
from pipelines.ledger.pauses import PausesPart
from pipelines.ledger.preferences import PreferencesPart
from pipelines.ledger.reactions import ReactionsPart
from pipelines.ledger.resources import ResourcesPart
from pipelines.ledger.roles import RolesPart
from pipelines.ledger.rollouts import RolloutsPart
from pipelines.ledger.serving import ServingPart
from pipelines.ledger.versions import VersionsPart
from pipelines.ledger.windows import WindowsPart

__all__ = ["Ledger", "SupersededError"]


class Ledger(
    NightsPart,
    VersionsPart,
    ServingPart,
    HostsPart,
    RolloutsPart,
    WindowsPart,
    PausesPart,
    DeletingPart,
    ReactionsPart,
    ResourcesPart,
    DeliveriesPart,
    AlertsPart,
    AccessPart,
    ActionsPart,
    CatalogPart,
    OverviewPart,
    RolesPart,
    AccessRequestsPart,
    PreferencesPart,
    MartPart,
):
    """Nights, versions, serving state, hosts, history, rollouts, tokens, alerts, actions, catalog, people, tables."""
