"""A server with the shipped text generators and one on parts of characters, and the unmodified client."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.bundles import tiny_bpe_generator
from tests.conftest import SHIPPED
from tests.e2e.server import ServerProcess


@pytest.fixture(scope="session")
def text_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``shakespeare`` and ``names`` as shipped, and ``tiny-bpe``, whose tokens are bytes and their merges."""
    folder = tmp_path_factory.mktemp("text-models")
    for name in ("shakespeare", "names"):
        shutil.copytree(SHIPPED / name, folder / name)
    tiny_bpe_generator(folder)
    return folder


@pytest.fixture(scope="session")
def server(text_models: Path) -> Iterator[ServerProcess]:
    """With the default limits."""
    with ServerProcess(text_models, default="generate=shakespeare") as process:
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    """The package's synchronous client, which is to try nothing twice."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client
