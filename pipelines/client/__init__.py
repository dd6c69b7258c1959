"""Calls the prediction service: :class:`Client`, and :class:`AsyncClient` for ``async`` code.

It needs httpx and the standard library alone.

>>> from pipelines.client import Client
>>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     found = client.predict("churn", [{"tenure": 5, "plan": "monthly"}])
...     found.values, found.model_version
(['yes'], 3)
"""

from pipelines.client.async_client import AsyncClient
from pipelines.client.errors import (
    AuthenticationError,
    ClientError,
    DeadlineError,
    InputError,
    LimitError,
    NotFoundError,
    RefusedError,
    ScopeError,
    UnavailableError,
)
from pipelines.client.results import CellWarning, Column, Explanation, Metadata, Model, Part, Predictions
from pipelines.client.sync_client import Client

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "CellWarning",
    "Client",
    "ClientError",
    "Column",
    "DeadlineError",
    "Explanation",
    "InputError",
    "LimitError",
    "Metadata",
    "Model",
    "NotFoundError",
    "Part",
    "Predictions",
    "RefusedError",
    "ScopeError",
    "UnavailableError",
]
