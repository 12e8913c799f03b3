"""Log lines: one form for all loggers, with the request's id and without payloads."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.core.context import REQUEST, RequestContext
from app.telemetry.logging import configure_logging, log_access


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def fail_with(payload: str) -> None:
    """Fail while a local variable holds a payload."""
    raise ValueError("wrong")


def test_json_lines_carry_the_request_id_whoever_logs(capsys: pytest.CaptureFixture[str]) -> None:
    """The standard library's loggers and structlog's write alike."""
    configure_logging("info", "json")
    REQUEST.set(RequestContext("id-1", None, "key"))
    logging.getLogger("app.engine").warning("from %s", "stdlib")
    structlog.get_logger("app").info("from structlog", count=3)
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["request_id"]) == ("from stdlib", "warning", "id-1")
    assert (second["event"], second["count"], second["request_id"]) == ("from structlog", 3, "id-1")
    assert first["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They hold what callers sent."""
    configure_logging("info", "json" if form == "json" else "console")
    private = "a very private text"
    try:
        fail_with(private)
    except ValueError:
        logging.getLogger("app").exception("failed")
    written = capsys.readouterr().err
    assert "ValueError: wrong" in written
    assert private not in written


def test_the_level_is_the_least_that_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Below it nothing appears."""
    configure_logging("warning", "json")
    logging.getLogger("app").info("quiet")
    logging.getLogger("app").warning("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_a_line_names_the_trace_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is one; tasks that a request starts inherit both ids, and the next request has its own."""
    configure_logging("info", "json")

    async def work(name: str) -> None:
        logging.getLogger("app").warning("in %s", name)

    async def request(name: str, trace: str | None) -> None:
        REQUEST.set(RequestContext(name, trace, "key"))
        await asyncio.create_task(work(name))

    async def both() -> None:
        await asyncio.gather(request("a", "0af7651916cd43dd8448eb211c80319c"), request("b", None))

    asyncio.run(both())
    lines = {line["request_id"]: line for line in map(json.loads, capsys.readouterr().err.splitlines())}
    assert lines["a"]["event"] == "in a"
    assert lines["a"]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert "trace_id" not in lines["b"]


def test_an_answers_line_holds_its_route_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    """As fields, for machines."""
    configure_logging("info", "json")
    log_access("POST", "/sessions/{id}/steps", 200, 0.00123456)
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line["event"], line["method"], line["route"]) == ("request", "POST", "/sessions/{id}/steps")
    assert (line["status"], line["seconds"]) == (200, 0.001235)
