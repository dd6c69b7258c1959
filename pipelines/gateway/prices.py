"""What predictions and computing cost: a table of prices, an estimate before, a bill after."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import SpecError

FILE = "prices.json"
CENT = Decimal("0.0001")


class Price(BaseModel):
    """The price of one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_request: Decimal = Field(default=Decimal(0), ge=0)
    """Of each request that is answered."""
    per_1000_rows: Decimal = Field(default=Decimal(0), ge=0)
    """Of a thousand rows that are predicted."""

    def of(self, requests: int, rows: int) -> Decimal:
        """Return what so many requests with so many rows cost, to four digits."""
        total = self.per_request * requests + self.per_1000_rows * rows / 1000
        return total.quantize(CENT, ROUND_HALF_EVEN)


class Prices(BaseModel):
    """The price table: ``prices.json`` in the home; without one everything is free."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = Field(default="EUR", min_length=1, max_length=8)
    """As it is printed."""
    default: Price = Price()
    """Of models that are not listed."""
    models: dict[str, Price] = Field(default_factory=dict)
    """By model."""
    cpu_hour: Decimal = Field(default=Decimal(0), ge=0)
    """What an hour of one core costs you: see `aimass cost`."""
    gpu_hour: Decimal = Field(default=Decimal(0), ge=0)
    """What an hour of one GPU costs you."""

    @classmethod
    def load(cls, home: Path) -> Prices:
        """Read the table of an installation.

        Raises
        ------
        SpecError
            If it cannot be read.
        """
        path = home / FILE
        return cls.read(path) if path.exists() else cls()

    @classmethod
    def read(cls, path: Path) -> Prices:
        """Read a table.

        Raises
        ------
        SpecError
            If it cannot be read.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise SpecError(
                "the price table cannot be read",
                where=str(path),
                seen=str(error).replace("\n", " ")[:300],
                expected='{"currency": "EUR", "default": {"per_request": 0, "per_1000_rows": 0.5}, "models": {}, '
                '"cpu_hour": 0.04, "gpu_hour": 2.5}',
            ) from None

    def of(self, model: str) -> Price:
        """Return the price of a model."""
        return self.models.get(model, self.default)


def bill(rows: Iterable[Any], prices: Prices) -> list[dict[str, Any]]:
    """Return one line per token and model of usage rows, with its sum; refused and failed requests are free."""
    totals: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        total = totals.setdefault((row.token, row.model), [0, 0, 0])
        for index, value in enumerate((row.requests, row.errors, row.rows)):
            total[index] += value
    return [
        {
            "token": token,
            "model": model,
            "requests": requests,
            "errors": errors,
            "rows": count,
            "cost": prices.of(model).of(requests - errors, count),
            "currency": prices.currency,
        }
        for (token, model), (requests, errors, count) in sorted(totals.items())
    ]
