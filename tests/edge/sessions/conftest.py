"""One application for the tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from tests.edge.sessions.routes import settings


@pytest.fixture(scope="package")
def client(tiny_models: Path) -> Iterator[TestClient]:
    """Asks an application that is started and stopped as a server does it."""
    app = create_app(settings(tiny_models, session_max_snapshots=2, session_max_batch_calls=50))
    with TestClient(app) as client:
        yield client
