"""An application around a fake service, and a client for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.edge.fake_service import FakeEdge


@pytest.fixture
def edge() -> FakeEdge:
    """The application and its parts, with the default limits."""
    return FakeEdge()


@pytest.fixture
def client(edge: FakeEdge) -> Iterator[TestClient]:
    """Asks that application, in this process."""
    with TestClient(edge.app, raise_server_exceptions=False) as client:
        yield client
