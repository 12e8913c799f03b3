"""Keys and rates as the ``openai`` package knows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from app.access.api_key import new_key, shown_digest
from tests.e2e.server import ServerProcess

KEY = new_key()


@pytest.fixture(scope="module")
def guarded(text_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One key, which may ask for 400 steps at once."""
    keys = tmp_path_factory.mktemp("keys") / "keys.toml"
    keys.write_text(f'[keys.alice]\nhash = "{shown_digest(KEY)}"\nsteps_per_s = 400\n')
    with ServerProcess(text_models, keys=keys) as server:
        yield server


@pytest.mark.parametrize("key", ["none", new_key()], ids=["malformed", "unknown"])
def test_a_wrong_key_is_an_authentication_error(guarded: ServerProcess, key: str) -> None:
    """For every path of the prefix."""
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=key, max_retries=0) as client:
        for ask in (client.models.list, lambda: client.completions.create(model="names", prompt="a")):
            with pytest.raises(openai.AuthenticationError) as caught:
                ask()
            assert caught.value.code == "invalid_api_key"
            assert caught.value.type == "invalid_request_error"


def test_the_package_sends_its_key_and_is_told_when_it_asks_too_much(guarded: ServerProcess) -> None:
    """The key lets in; steps beyond the rate are a RateLimitError with the time to wait."""
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=KEY, max_retries=0) as client:

        def hurry() -> None:
            for _ in range(5):
                client.completions.create(model="shakespeare", prompt=["a", "b"], max_tokens=150)

        assert client.completions.create(model="names", prompt="a", max_tokens=5).choices
        with pytest.raises(openai.RateLimitError) as caught:
            hurry()
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert int(caught.value.response.headers["retry-after"]) >= 1
