"""The typed answers have the fields of the server's classes; both clients have the same methods."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from pydantic import BaseModel

import rnnserve_client.answers as client
from app.edge.routes.models import ModelSummary
from app.sessions import schema as sessions
from app.tasks.decoded import schema as decoded
from app.tasks.forecast import schema as forecast
from app.tasks.sentiment import schema as sentiment
from app.tasks.sequence import schema as sequence
from rnnserve_client import Client, Session, SyncClient, SyncSession

PAIRS: list[tuple[Any, type[BaseModel]]] = [
    (client.Alternative, decoded.Alternative),
    (client.Choice, decoded.Choice),
    (client.Forecast, forecast.Forecast),
    (client.ForecastAnswer, forecast.NotedForecastAnswer),
    (client.GenerateAnswer, decoded.TextAnswer),
    (client.ModelInfo, ModelSummary),
    (client.SentimentAnswer, sentiment.SentimentAnswer),
    (client.SentimentResult, sentiment.SentimentResult),
    (client.SequenceAnswer, sequence.SequenceAnswer),
    (client.SequenceResult, sequence.SequenceResult),
    (client.SessionForecast, forecast.SessionForecast),
    (client.SessionInfo, sessions.SessionInfo),
    (client.SnapshotInfo, sessions.SnapshotInfo),
    (client.Steps, sessions.StatelessAnswer),
    (client.TokenLogprob, decoded.TokenLogprob),
    (client.TracePoint, sentiment.TracePoint),
    (client.Usage, decoded.Usage),
]


@pytest.mark.parametrize(("typed", "model"), PAIRS, ids=lambda kind: kind.__name__)
def test_the_fields_are_those_of_the_server(typed: Any, model: type[BaseModel]) -> None:
    """Every field that the server may send is there, and none that it never sends is said to be."""
    fields = set(model.model_fields)
    assert typed.__required_keys__ <= fields <= set(typed.__annotations__)


def test_every_class_is_compared() -> None:
    """A new one cannot be forgotten here."""
    defined = {name for name, value in vars(client).items() if isinstance(value, type) and name[0].isupper()}
    assert defined - {"Any", "TypedDict"} == {typed.__name__ for typed, _ in PAIRS}


@pytest.mark.parametrize(("plain", "sync"), [(Client, SyncClient), (Session, SyncSession)])
def test_both_clients_have_the_same_methods(plain: type, sync: type) -> None:
    """With the same arguments; requests by path and shared sockets are for asyncio alone."""
    alone = {"ask", "ask_about", "connect", "events", "opened"}
    expected = methods(plain)
    assert {name: expected[name] for name in expected.keys() - alone} == methods(sync)


def methods(kind: type) -> dict[str, list[tuple[str, Any, Any]]]:
    """Public methods, with names, kinds and defaults of their parameters."""
    return {
        name: [(one.name, one.kind, one.default) for one in inspect.signature(value).parameters.values()]
        for name, value in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }
