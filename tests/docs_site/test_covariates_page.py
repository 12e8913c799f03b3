"""The page on covariates: its command trains, and its requests are answered as it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.docs_site.recorded import DOCS, run, train_bakery
from tests.docs_site.test_your_model import shape
from tests.e2e.server import ServerProcess

PAGE = (DOCS / "covariates.md").read_text()
SMALL = ("--hidden", "8", "--local", "8", "--epochs", "1", "--batches", "3", "--threads", "1", "--quiet")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("bakery")
    train_bakery(folder, *SMALL)
    with ServerProcess(folder) as server:
        yield server


def test_the_answers_are_like_those_shown(server: ServerProcess) -> None:
    """But for their numbers: the network of the page was trained for longer."""
    seen = 0
    for one in run(PAGE, server.port):
        got = json.loads(one.got)
        if one.answer is None:
            assert "status" not in got, one.got
            if "forecasts" in got:
                assert [forecast["id"] for forecast in got["forecasts"]] == ["Bonn", "Kiel"]
                assert all(len(forecast["mean"]) == 14 for forecast in got["forecasts"])
            continue
        shown = json.loads(one.answer)
        assert shape(shown) == shape(got), one.got
        seen += 1
    assert seen == 3


def test_every_flag_of_the_page_is_one_of_the_command() -> None:
    from training.forecast.settings import SeriesOptions

    rows = re.findall(r"^\| `--(\w+) [^`]*` \|", PAGE, re.MULTILINE)
    assert rows == ["future", "past", "static", "holidays"]
    assert set(rows) <= set(SeriesOptions.__annotations__)
