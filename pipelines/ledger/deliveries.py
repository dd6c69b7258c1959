"""What was sent of the alerts: one row for each alert and channel, and how each channel does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select, update

from pipelines.ledger.alert_rows import ChannelRow, DeliveryRow
from pipelines.ledger.connect import Connected, upsert
from pipelines.ledger.rows import AlertRow, all_of
from pipelines.ledger.schema import alert_channels, alert_deliveries, alerts

CLAIM = timedelta(minutes=2)
"""How long a process that sends has a channel for itself; it claims it anew before each message."""


class DeliveriesPart(Connected):
    """Channels and deliveries."""

    def claim_channel(self, name: str, moment: datetime) -> ChannelRow | None:
        """Take a channel for a while; None: another process sends through it."""
        with self.transaction() as connection:
            new = upsert(connection, alert_channels).values(name=name, since=moment, failures=0, error="")
            connection.execute(new.on_conflict_do_nothing())
            free = or_(alert_channels.c.claimed_until.is_(None), alert_channels.c.claimed_until <= moment)
            taken = (
                update(alert_channels)
                .where(and_(alert_channels.c.name == name, free))
                .values(claimed_until=moment + CLAIM)
                .returning(*alert_channels.c)
            )
            row = connection.execute(taken).one_or_none()
        return None if row is None else ChannelRow(**row._mapping)

    def keep_channel(self, name: str, moment: datetime | None) -> None:
        """Claim a channel that one holds anew; without a moment it is given free."""
        until = None if moment is None else moment + CLAIM
        with self.transaction() as connection:
            connection.execute(update(alert_channels).where(alert_channels.c.name == name).values(claimed_until=until))

    def channel_worked(self, name: str, moment: datetime) -> None:
        """Record that a channel has taken a message."""
        fields = {"failures": 0, "failing_since": None, "tried_at": moment, "delivered_at": moment, "error": ""}
        with self.transaction() as connection:
            connection.execute(update(alert_channels).where(alert_channels.c.name == name).values(**fields))

    def channel_failed(self, name: str, error: str, moment: datetime) -> ChannelRow:
        """Record that a channel has not taken a message; return how it does."""
        of_name = alert_channels.c.name == name
        with self.transaction() as connection:
            row = connection.execute(select(alert_channels).where(of_name).with_for_update()).one()
            fields = {
                "failures": row.failures + 1,
                "failing_since": row.failing_since or moment,
                "tried_at": moment,
                "error": error,
            }
            changed = update(alert_channels).where(of_name).values(**fields).returning(*alert_channels.c)
            return ChannelRow(**connection.execute(changed).one()._mapping)

    def channels(self) -> list[ChannelRow]:
        """Return the channels that were ever used, by name."""
        with self.engine.connect() as connection:
            return all_of(ChannelRow, connection.execute(select(alert_channels).order_by(alert_channels.c.name)))

    def unsettled(self, channel: ChannelRow) -> list[tuple[AlertRow, DeliveryRow | None]]:
        """Return the alerts that are open, or whose end a channel has not told, with what it told last.

        Those that were over before the channel was first used are left out.
        """
        sent = and_(alert_deliveries.c.alert == alerts.c.id, alert_deliveries.c.channel == channel.name)
        untold = and_(
            alerts.c.resolved_at >= channel.since,
            or_(alert_deliveries.c.state.is_(None), alert_deliveries.c.state == "firing"),
        )
        query = (
            select(alerts, *(column.label(f"sent_{column.name}") for column in alert_deliveries.c))
            .select_from(alerts.outerjoin(alert_deliveries, sent))
            .where(or_(alerts.c.resolved_at.is_(None), untold))
            .order_by(alerts.c.id)
        )
        with self.engine.connect() as connection:
            rows = [row._mapping for row in connection.execute(query)]
        return [
            (
                AlertRow(**{column.name: row[column.name] for column in alerts.c}),
                None
                if row["sent_alert"] is None
                else DeliveryRow(**{column.name: row[f"sent_{column.name}"] for column in alert_deliveries.c}),
            )
            for row in rows
        ]

    def delivered(self, channel: str, told: Iterable[tuple[AlertRow, str]], moment: datetime) -> None:
        """Record what a channel has told: alerts, each with ``firing``, ``resolved`` or ``silenced``."""
        with self.transaction() as connection:
            for alert, state in told:
                fields = {"state": state, "changed_at": alert.changed_at, "at": moment}
                new = upsert(connection, alert_deliveries).values(alert=alert.id, channel=channel, **fields)
                keys = [alert_deliveries.c.alert, alert_deliveries.c.channel]
                connection.execute(new.on_conflict_do_update(index_elements=keys, set_=fields))
