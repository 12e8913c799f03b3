"""Spans of a real server, exported by OTLP to a collector on a real socket."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from websockets.sync.client import connect

from app.core.errors import ConfigurationError
from app.settings import tracing_variables
from app.telemetry.otlp import open_tracing
from app.telemetry.tracing import CLOSE_S
from tests.e2e.server import REPOSITORY, ServerProcess
from tests.telemetry.collector import Collector, attributes
from tests.telemetry.conftest import DEFAULT


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Takes the spans of all tests; each has a trace of its own."""
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def server(tiny_models: Path, collector: Collector) -> Iterator[ServerProcess]:
    """Exports to it, soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        patch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests")
        with ServerProcess(tiny_models, default=DEFAULT, tracing="otlp", log_format="json") as process:
            yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx2.Client]:
    """An HTTP client of the server."""
    with server.client() as client:
        yield client


class Caller:
    """A caller's trace."""

    def __init__(self, flags: str = "01") -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.headers = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{flags}", "tracestate": "rival=1"}


def root_of(spans: list[Span]) -> Span:
    """The server's span."""
    (root,) = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    return root


def children_of(spans: list[Span]) -> list[Span]:
    """The others: all of them lie directly below the server's span, and inside of it."""
    root = root_of(spans)
    others = [span for span in spans if span is not root]
    for span in others:
        assert span.parent_span_id == root.span_id
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano
    return others


def test_a_request_is_a_span_of_the_callers_trace(client: httpx2.Client, collector: Collector) -> None:
    """With the attributes of the HTTP conventions, and the resource of the variables."""
    caller = Caller()
    answer = client.post(
        "/forecast?levels=80", json={"values": [1, 2, 4], "horizon": 2}, headers=caller.headers
    )
    root = root_of(collector.wait_for_root(caller.trace_id))
    assert root.parent_span_id.hex() == caller.span_id
    assert root.trace_state == "rival=1"
    assert root.name == "POST /forecast"
    found = attributes(root.attributes)
    assert found == {
        "http.request.method": "POST",
        "http.route": "/forecast",
        "http.response.status_code": answer.status_code,
        "url.path": "/forecast",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": client.base_url.port,
        "client.address": "127.0.0.1",
        "user_agent.original": answer.request.headers["user-agent"],
    }
    assert answer.headers["traceparent"] == f"00-{caller.trace_id}-{root.span_id.hex()}-01"
    resource = collector.resources[-1]
    assert resource["service.name"] == "rnnserve"
    assert resource["deployment.environment.name"] == "tests"
    assert resource["service.version"]


def test_below_it_is_where_the_time_went(client: httpx2.Client, collector: Collector) -> None:
    """In order, without gaps between queue and compute, and as the answer's header says."""
    caller = Caller()
    answer = client.post("/sentiment", json={"text": ["good", "bad"]}, headers=caller.headers)
    assert answer.status_code == 200
    prepare, queue, compute = children_of(collector.wait_for_root(caller.trace_id))
    assert [prepare.name, queue.name, compute.name] == ["prepare", "queue", "compute"]
    assert prepare.end_time_unix_nano == queue.start_time_unix_nano
    assert queue.end_time_unix_nano == compute.start_time_unix_nano
    told = attributes(compute.attributes)
    assert told["rnnserve.model"] == "tiny-mood-gru@1"
    assert told["rnnserve.sequences"] == 2
    timing = dict(re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"]))
    assert told["rnnserve.run_seconds"] * 1e3 == pytest.approx(float(timing["compute"]), abs=0.001)
    waited = (queue.end_time_unix_nano - queue.start_time_unix_nano) / 1e6
    assert waited == pytest.approx(float(timing["queue"]), abs=0.001)


def test_a_session_step_shows_its_store(client: httpx2.Client, collector: Collector) -> None:
    """Read, run, commit, though it is a group's work; the steps themselves are in no span."""
    assert client.post("/sessions", json={"task": "forecast", "id": "traced"}).status_code == 201
    caller = Caller()
    answer = client.post("/sessions/traced/steps", json={"inputs": [7.25], "seq": 1}, headers=caller.headers)
    assert answer.status_code == 200
    spans = collector.wait_for_root(caller.trace_id)
    assert root_of(spans).name == "POST /sessions/{id}/steps"
    names = [span.name for span in children_of(spans)]
    assert names == ["prepare", "session read", "queue", "compute", "session commit"]
    assert "7.25" not in str(spans)


def test_calls_of_one_group_are_told_to_each_of_its_requests(
    server: ServerProcess, client: httpx2.Client, collector: Collector
) -> None:
    """Whoever shares a commit sees it, once, and with the group's size; nobody sees another's."""
    ids = [f"shared-{number}" for number in range(3)]
    for id in ids:
        assert client.post("/sessions", json={"task": "forecast", "id": id}).status_code == 201
    batch = Caller()
    steps = [{"id": id, "inputs": [1.0]} for id in ids]
    assert client.post("/sessions/steps", json={"steps": steps}, headers=batch.headers).status_code == 200
    (commit,) = [span for span in collector.wait_for_root(batch.trace_id) if span.name == "session commit"]
    assert attributes(commit.attributes) == {"rnnserve.sessions": 3}
    callers = [Caller() for _ in ids]

    def step(id: str, caller: Caller) -> None:
        for _ in range(20):
            answer = client.post(f"/sessions/{id}/steps", json={"inputs": [2.0]}, headers=caller.headers)
            assert answer.status_code == 200

    threads = [threading.Thread(target=step, args=pair) for pair in zip(ids, callers, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for caller in callers:
        roots = collector.wait_for(caller.trace_id, 20)
        commits = [span for span in collector.trace(caller.trace_id) if span.name == "session commit"]
        assert sorted(span.parent_span_id for span in commits) == sorted(root.span_id for root in roots)


def test_a_streams_span_ends_with_its_last_event(client: httpx2.Client, collector: Collector) -> None:
    """And holds the whole generation."""
    caller = Caller()
    with client.stream(
        "POST", "/generate", json={"max_tokens": 30, "stream": True}, headers=caller.headers
    ) as answer:
        assert "event: done" in "".join(answer.iter_text())
    spans = collector.wait_for_root(caller.trace_id)
    assert [span.name for span in children_of(spans)] == ["prepare", "queue", "compute"]


def test_a_socket_is_one_span_with_its_generations_below(server: ServerProcess, collector: Collector) -> None:
    """From the handshake to the end."""
    caller = Caller()
    with connect(server.websocket, additional_headers=caller.headers) as websocket:
        for _ in range(2):
            websocket.send(json.dumps({"max_tokens": 3}))
            while json.loads(websocket.recv())["type"] != "done":
                pass
    spans = collector.wait_for_root(caller.trace_id)
    root = root_of(spans)
    assert root.name == "GET /generate"
    assert attributes(root.attributes)["network.protocol.name"] == "websocket"
    assert [span.name for span in children_of(spans)] == ["queue", "compute"] * 2


def test_a_refusal_is_no_error_of_the_server_and_has_a_status(
    client: httpx2.Client, collector: Collector
) -> None:
    """As the conventions have it: 4xx leaves the span's status unset."""
    caller = Caller()
    assert (
        client.post("/forecast", json={"values": [], "horizon": 1}, headers=caller.headers).status_code == 422
    )
    root = root_of(collector.wait_for_root(caller.trace_id))
    assert attributes(root.attributes)["http.response.status_code"] == 422
    assert root.status.code == Status.STATUS_CODE_UNSET


def test_a_path_that_is_no_route_is_not_in_the_name(client: httpx2.Client, collector: Collector) -> None:
    """Names must stay few."""
    caller = Caller()
    assert client.get(f"/{caller.trace_id}", headers=caller.headers).status_code == 404
    root = root_of(collector.wait_for_root(caller.trace_id))
    assert root.name == "GET"
    assert "http.route" not in attributes(root.attributes)


def test_a_caller_that_does_not_record_is_followed(client: httpx2.Client, collector: Collector) -> None:
    """The default sampler asks the parent; the context goes on all the same."""
    silent, heard = Caller("00"), Caller()
    answer = client.get("/healthz", headers=silent.headers)
    assert answer.headers["traceparent"].startswith(f"00-{silent.trace_id}-")
    assert answer.headers["traceparent"].endswith("-00")
    client.get("/healthz", headers=heard.headers)
    collector.wait_for_root(heard.trace_id)
    assert collector.trace(silent.trace_id) == []


def test_without_a_caller_there_is_a_trace_of_our_own(client: httpx2.Client, collector: Collector) -> None:
    """The answer tells it."""
    answer = client.get("/models")
    trace_id = answer.headers["traceparent"].split("-")[1]
    assert root_of(collector.wait_for_root(trace_id)).parent_span_id == b""


def test_a_dead_collector_harms_nobody(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are answered, and the server ends soon when it is told to; it says that spans were lost."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    with ServerProcess(tiny_models, default=DEFAULT, tracing="otlp") as server:
        with server.client() as client:
            for _ in range(5):
                assert client.get("/healthz").status_code == 200
        before, began = len(server.log), time.monotonic()
        assert server.stop() == 0
        # Trying until the exporter gives up takes 6 to 8 s.
        assert time.monotonic() - began < CLOSE_S + 3
        told, lost = server.log[before:].splitlines()
    assert "shutting down" in told
    assert "spans within 2 s; they are dropped" in lost


WRONG = {
    "OTEL_BSP_MAX_QUEUE_SIZE": ["256", "0", "many", ""],
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": ["4096", "-1", "1.5"],
    "OTEL_BSP_SCHEDULE_DELAY": ["0", "-5", "soon"],
    "OTEL_BSP_EXPORT_TIMEOUT": ["never"],
    "OTEL_TRACES_SAMPLER": ["sometimes", "parentbased_sometimes"],
    "OTEL_TRACES_SAMPLER_ARG": ["2", "half", "nan"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": ["collector:4318", "http://", "http://[::1"],
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ["grpc://collector:4317"],
    "OTEL_EXPORTER_OTLP_TIMEOUT": ["0", "1s", "nan", "inf"],
    "OTEL_EXPORTER_OTLP_COMPRESSION": ["zstd"],
    "OTEL_SPAN_EVENT_COUNT_LIMIT": ["few"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_a_variable_that_is_wrong_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the SDK would make of it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        open_tracing("1", tracing_variables())


def test_a_wrong_variable_ends_the_start_with_one_line(tiny_models: Path) -> None:
    """No traceback."""
    command = [sys.executable, "-m", "app", "serve", "--models", str(tiny_models), "--default", DEFAULT]
    result = subprocess.run(
        [*command, "--port", "0", "--sessions", "off", "--tracing", "otlp"],
        cwd=REPOSITORY,
        env={**os.environ, "OTEL_BSP_MAX_QUEUE_SIZE": "256"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "OTEL_BSP_MAX_EXPORT_BATCH_SIZE is 512, more than OTEL_BSP_MAX_QUEUE_SIZE, which is 256" in line


def test_variables_that_are_right_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the SDK documents them, empty ones of the exporter included."""
    for name, value in {
        "OTEL_BSP_MAX_QUEUE_SIZE": "256",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "256",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.25",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://[::1]:4318/v1/traces",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }.items():
        monkeypatch.setenv(name, value)
    open_tracing("1", tracing_variables()).close()


def test_what_nobody_asked_for_is_not_imported(tiny_models: Path) -> None:
    """Neither the SDK nor the exporter."""
    code = (
        "import sys; from app.main import compose; from app.settings import load_settings; "
        f"compose(load_settings(models={str(tiny_models)!r}, sessions='memory:', default={DEFAULT!r})); "
        "print(sorted(name for name in sys.modules if name.startswith(('opentelemetry.sdk', "
        "'opentelemetry.exporter'))))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True
    )
    assert result.stdout.strip() == "[]"


def test_without_the_packages_the_setting_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of the extra."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"pip install .*\[otel\]"):
        open_tracing("1", tracing_variables())
