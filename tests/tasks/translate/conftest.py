"""A server with the shipped translator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import SHIPPED
from tests.e2e.server import ServerProcess

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="package")
def translator() -> Iterator[ServerProcess]:
    """Serves the shipped bundles of the task."""
    with ServerProcess(SHIPPED, tasks="translate", skip_bad_models=True) as server:
        yield server


@pytest.fixture(scope="package")
def ask(translator: ServerProcess) -> Iterator[Ask]:
    """``(fields of a request) -> the answer``."""
    with translator.client() as client:

        def asked(**fields: object) -> dict[str, Any]:
            answer = client.post("/translate", json=fields)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        yield asked
