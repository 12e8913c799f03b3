"""The client as its users get it: a wheel in an environment that has nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess
from tests.readme import SHIPPED
from tests.wheels import ROOT, Environment, build


@pytest.fixture(scope="session")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout."""
    names = ["pyproject.toml", "README.md", "rnnserve_client", "rnnserve_bench"]
    return build(ROOT / "client", names, tmp_path_factory.mktemp("client-wheel"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, client_wheel: Path) -> Environment:
    """With what the wheel requires, and no more."""
    return Environment(tmp_path_factory.mktemp("client") / "environment", client_wheel)


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the shipped bundles, and sessions as they are by default."""
    state = tmp_path_factory.mktemp("client-state")
    with ServerProcess(SHIPPED, load="on-demand", state_dir=state) as server:
        yield server
