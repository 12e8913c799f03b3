"""What the documentation promises is what the code has: settings, metrics, problems, frames, links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from app.core.problem import ErrorFrame
from app.edge import errors
from app.edge.sockets.task_socket import StopMessage
from app.tasks.decoded.schema import DoneFrame, TokenFrame
from app.tasks.forecast.backtest_schema import BacktestRequest
from app.tasks.forecast.schema import ForecastRequest, SeriesRequest
from app.tasks.generate.schema import GenerateRequest
from tests.tables import TABLES, rewritten

ROOT = Path(__file__).parent.parent
API = (ROOT / "docs/api.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


# What a request passes is counted by tests/test_steps.py: it varies a little with the version of Python.
@pytest.mark.parametrize("marker", [marker for marker in TABLES if marker != "steps"])
def test_the_tables_are_those_of_the_code(marker: str) -> None:
    """Settings, metrics and problems; ``make docs`` writes them again."""
    page, make = TABLES[marker]
    text = (ROOT / "docs" / page).read_text()
    assert rewritten(text, marker, make()) == text, "run `make docs`"


def test_no_two_pages_open_a_session_of_one_id() -> None:
    """Or what one page creates is in the way of the next, read in order on one server."""
    opened = [
        (found, page.name)
        for page in PAGES
        for found in set(
            re.findall(r"localhost:\d+/sessions -d '[^']*\"id\": \"([^\"]+)\"", page.read_text())
        )
    ]
    assert len(opened) > 3
    assert len({found for found, _ in opened}) == len(opened), opened


@pytest.mark.parametrize("folder", ["app", "training", "client", "docs", "deploy", "examples", "."])
def test_nothing_tells_to_install_what_no_index_has(folder: str) -> None:
    """The package is on none; it is installed from a checkout, with its extras."""
    pattern = "*" if folder == "." else "**/*"
    files = [path for path in ROOT.joinpath(folder).glob(pattern) if path.suffix in (".py", ".md", ".toml")]
    told = [path.name for path in files if re.search(r"install ['\"]?rnnserve\b", path.read_text())]
    assert told == []


@pytest.mark.parametrize("code", [value for name, value in vars(errors).items() if name.startswith("CLOSE_")])
def test_every_close_code_is_documented(code: int) -> None:
    """With when it is sent."""
    assert f"| {code} | " in API


@pytest.mark.parametrize("model", [TokenFrame, DoneFrame, ErrorFrame], ids=lambda model: model.__name__)
def test_every_frame_is_documented(model: type[TokenFrame | DoneFrame | ErrorFrame]) -> None:
    """A line names the frame and all of its fields, in any order."""
    kind = model.model_fields["type"].default
    (line,) = re.findall(rf'^\| `(\{{"type": "{kind}"[^`]*)` \|', API, re.MULTILINE)
    named = set(re.findall(r'"(\w+)"', line)) - {kind}
    assert named == set(model.model_fields)


def test_the_stop_message_is_documented_and_valid() -> None:
    """As it is written in the page."""
    assert '`{"type": "stop"}`' in API
    assert StopMessage.model_validate_json('{"type": "stop"}').type == "stop"


def test_every_field_of_a_generation_is_documented() -> None:
    """The table has each but ``model``, with its default."""
    table = API[API.index("## `POST /generate`") : API.index("## `WS /generate`")]
    fields = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert set(fields) | {"model"} == set(GenerateRequest.model_fields)
    for name in ("max_tokens", "temperature", "top_k", "top_p", "n"):
        assert f"| `{name}` | {GenerateRequest.model_fields[name].default:g} |" in table


def test_every_field_of_a_forecast_is_documented() -> None:
    """The table has each but ``model``; that of a backtest those that are its own."""
    section = API[API.index("## `POST /forecast`") : API.index("## `POST /sentiment`")]
    table, backtest = section.split("### `POST /forecast/backtest`")
    fields = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert set(fields) | {"model"} == set(ForecastRequest.model_fields)
    own = re.findall(r"^\| `(\w+)` \|", backtest, re.MULTILINE)
    assert set(own) == set(BacktestRequest.model_fields) - set(SeriesRequest.model_fields)


def test_the_documented_requests_are_valid() -> None:
    """The JSON blocks of the forecast section are requests."""
    table = API[API.index("## `POST /forecast`") : API.index("## `POST /sentiment`")]
    blocks = re.findall(r"```json\n(.*?)```", table, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        TypeAdapter(ForecastRequest).validate_json(json.dumps(json.loads(block)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, every anchor a heading."""
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page if not path else (page.parent / path)
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{page.name}: {target}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
