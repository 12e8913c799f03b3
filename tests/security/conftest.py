"""One server that asks for keys, and the keys of several callers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from app.access.api_key import new_key, shown_digest
from tests.bundles import tiny_forecaster
from tests.e2e.server import ServerProcess

NAMED = {
    "alice": "",
    "bob": "",
    "root": 'role = "admin"',
    "carol": "expires = 2020-01-01T00:00:00Z",
    "slow": "requests_per_s = 2",
    "thin": "steps_per_s = 40",
    "few": "max_sessions = 2",
}


@dataclass
class KeyFile:
    """A keys file, and the keys whose hashes are in it."""

    path: Path
    keys: dict[str, str] = field(default_factory=dict)
    extras: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, extra: str = "") -> str:
        """A new key under a name, with further lines of its entry."""
        self.keys[name], self.extras[name] = new_key(), extra
        self.write()
        return self.keys[name]

    def remove(self, name: str) -> None:
        """Revoke a key."""
        del self.keys[name]
        self.write()

    def write(self) -> None:
        """Put all entries into the file, whole, as an orchestrator's volume does."""
        new = self.path.with_suffix(".new")
        new.write_text(
            "\n".join(
                f'[keys.{name}]\nhash = "{shown_digest(key)}"\n{self.extras[name]}'
                for name, key in self.keys.items()
            )
        )
        new.replace(self.path)


@pytest.fixture(scope="session")
def one_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small bundle, for servers that are started for a question about the edge."""
    folder = tmp_path_factory.mktemp("one")
    tiny_forecaster(folder, "gru", "tiny-series-gru")
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    """A key for each name above."""
    made = KeyFile(tmp_path_factory.mktemp("keys") / "keys.toml")
    for name, extra in NAMED.items():
        made.add(name, extra)
    return made


@pytest.fixture(scope="module")
def guarded(tiny_models: Path, keys: KeyFile) -> Iterator[ServerProcess]:
    """A server that asks for them."""
    with ServerProcess(
        tiny_models,
        default="forecast=tiny-series-lstm,sentiment=tiny-mood-gru,generate=tiny-text-lstm",
        keys=keys.path,
        log_format="json",
    ) as process:
        yield process


Caller = Callable[[str], httpx2.Client]


@pytest.fixture
def caller(guarded: ServerProcess, keys: KeyFile) -> Iterator[Caller]:
    """Makes HTTP clients that send the key of a name."""
    opened: list[httpx2.Client] = []

    def make(name: str) -> httpx2.Client:
        client = httpx2.Client(
            base_url=guarded.url, timeout=30, headers={"authorization": f"Bearer {keys.keys[name]}"}
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture(scope="module")
def server(one_model: Path) -> Iterator[ServerProcess]:
    """A server with the defaults, which asks for nothing."""
    with ServerProcess(one_model) as process:
        yield process
