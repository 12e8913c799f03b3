"""Few bytes that ask for much work or memory: refused before they are parsed, and nothing of them stays."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess
from tests.reliability.fuzz import DEFAULTS, write_models
from tests.reliability.neighbour import resident_mb
from tests.security.raw import Answer, connect, post, read_answer

MOST = 2**21
KEYS = b", ".join(b'"%x": 1' % number for number in range(300_000))
# What 16 MiB could hold millions of, at every kind of place.
TOO_MUCH = {
    "empty-calls": ("/sessions/steps", b'{"steps": [' + b"{}," * 600_000 + b"{}]}"),
    "empty-series": ("/forecast", b'{"series": [' + b"{}," * 600_000 + b"{}]}"),
    "values": ("/forecast", b'{"values": [' + b"1," * 2_100_000 + b"1]}"),
    "inputs": ("/sessions/s/steps", b'{"inputs": [' + b"1," * 2_100_000 + b"1]}"),
    "empty-inputs": ("/sessions/s/steps", b'{"inputs": [' + b"[]," * 600_000 + b"[]]}"),
    "keys-of-an-input": ("/sessions/s/steps", b'{"inputs": {' + KEYS + b"}}"),
    "metadata": ("/sessions", b'{"task": "forecast", "metadata": {' + KEYS + b"}}"),
    "unknown-fields": ("/generate", b'{"prompt": "a", ' + KEYS + b"}"),
    "one-field-again": ("/generate", b'{"prompt": "a", ' + b'"a": 1, ' * 300_000 + b'"a": 1}'),
    "tokens": ("/v1/completions", b'{"model": "text", "prompt": [' + b"1," * 2_100_000 + b"1]}"),
    "token-lists": ("/v1/completions", b'{"model": "text", "prompt": [' + b"[1]," * 600_000 + b"[1]]}"),
    "texts": ("/sentiment", b'{"text": [' + b'"a",' * 2_100_000 + b'"a"]}'),
    "tensor": ("/v2/models/series/infer", b'{"inputs": [{"data": [' + b"1," * 2_100_000 + b"1]}]}"),
    "parameters": ("/v2/repository/models/spare/load", b'{"parameters": {' + KEYS + b"}}"),
    "two-bytes-a-letter": ("/forecast", ('{"values": [' + "1," * 2_100_000 + "1]}").encode("utf-16")),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    with ServerProcess(folder, default=DEFAULTS, sessions="memory:", max_points=100_000) as process:
        with process.client() as client:
            client.post("/sessions", json={"task": "forecast", "id": "s"}).raise_for_status()
        yield process
        assert "Traceback" not in process.log


def asked(server: ServerProcess, wire: bytes) -> Answer:
    """The one answer."""
    with connect(server.port, 60) as raw, raw.makefile("rb") as stream:
        raw.sendall(wire)
        return read_answer(stream)


def peak_mb(server: ServerProcess, *, forget: bool = False) -> float:
    """The most memory that it had at once; forgotten, it is counted from now on."""
    process = Path(f"/proc/{server.pid}")
    if forget:
        (process / "clear_refs").write_text("5")
    (most,) = re.findall(r"VmHWM:\s+(\d+)", (process / "status").read_text())
    return int(most) / 1024


def comes_back(server: ServerProcess, before: float) -> bool:
    """Whether its memory is that of before in some seconds, but for little."""
    until = time.monotonic() + 20
    while resident_mb(server) > before + 60 and time.monotonic() < until:
        time.sleep(0.1)
    return resident_mb(server) <= before + 60


@pytest.mark.parametrize("name", TOO_MUCH)
def test_more_than_can_be_parsed_at_once_is_refused_unparsed(server: ServerProcess, name: str) -> None:
    """With how much it is, in little memory, also where it is compressed."""
    path, body = TOO_MUCH[name]
    before, most = resident_mb(server), peak_mb(server, forget=True)
    packed = post(gzip.compress(body, 1), b"content-encoding: gzip", path=path.encode())
    for wire in (post(body, path=path.encode()), packed):
        answer = asked(server, wire)
        assert answer.status in (400, 422), answer.body[:500]
        assert f"may hold {MOST} values, not " in str(answer.document)
        assert len(answer.body) < 1000
    assert peak_mb(server) < most + 200
    assert comes_back(server, before)


def test_what_stands_in_texts_is_not_counted(server: ServerProcess) -> None:
    """A text may be all commas, brackets, colons and quotes."""
    text = '{"a":[1,2],' * 1000 + '\\" \\\\ [[[[::::,,,,'
    document = {"model": "nobody", "text": [text] * 200}
    answer = asked(server, post(json.dumps(document).encode(), path=b"/sentiment"))
    assert answer.status == 404, answer.document


def test_as_many_values_as_a_forecast_may_have_are_read(server: ServerProcess) -> None:
    """The limits of the task decide: here a horizon that is too long."""
    values = b'{"values": [' + b"1.25," * 99_999 + b"1], "
    assert asked(server, post(values + b'"horizon": 99999}')).document["errors"][0]["field"] == "horizon"


def test_a_table_is_read_as_far_as_its_rows_are_taken(server: ServerProcess) -> None:
    """In the memory of so many; also where it comes as a field."""
    table = b"v\n" + b"1\n" * 5_000_000
    as_field = json.dumps({"csv": table.decode()}).encode()
    for path, wire in ((b"/forecast?horizon=1", table), (b"/forecast/series", as_field)):
        before, most = resident_mb(server), peak_mb(server, forget=True)
        kind = b"content-type: text/csv" if wire is table else b"x: y"
        answer = asked(server, post(wire, kind, path=path))
        assert answer.status == 422, answer.body
        assert "more than 100000 observations" in answer.document["detail"]
        assert peak_mb(server) < most + 200
        assert comes_back(server, before)


def test_the_columns_of_a_wide_table_are_each_looked_for_once(server: ServerProcess) -> None:
    """Ninety thousand by their names are answered long before the connection gives up."""
    names = [f"c{number}" for number in range(90_000)]
    table = f"{','.join(names)}\n{','.join('1' for _ in names)}\n"
    document = {"csv": table, "targets": names[:5], "future": names[5:]}
    answer = asked(server, post(json.dumps(document).encode(), path=b"/forecast/series"))
    assert answer.status == 422, answer.body[:500]
    assert "more than 100000 observations" in answer.document["detail"]


def test_bombs_are_opened_a_few_at_a_time(server: ServerProcess) -> None:
    """Thirty of 16 MiB each in the memory of a few, and the refusals are those of one."""
    before, most = resident_mb(server), peak_mb(server, forget=True)
    bomb = post(gzip.compress(bytes(16 * 2**20 - 1)), b"content-encoding: gzip")
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda wire: asked(server, wire), [bomb] * 30))
    assert {answer.status for answer in answers} == {422}
    assert peak_mb(server) < most + 250
    assert comes_back(server, before)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v1/completions", {"model": "text", "prompt": "A", "n": 8, "max_tokens": 800, "logprobs": 5}),
        ("/generate", {"prompt": "A", "n": 8, "max_tokens": 800, "logprobs": 5}),
        (
            "/forecast",
            {"series": [{"values": [1, 5, 2, 7]}] * 3000, "horizon": 3, "quantiles": [0.1, 0.5, 0.9]},
        ),
    ],
    ids=["completion", "text", "forecasts"],
)
def test_the_memory_of_a_large_answer_comes_back(
    server: ServerProcess, path: str, document: dict[str, object]
) -> None:
    """It is whole JSON."""
    wire = post(json.dumps(document).encode(), path=path.encode())
    assert asked(server, wire).status == 200
    before = resident_mb(server)
    for _ in range(2):
        answer = asked(server, wire)
        assert answer.status == 200
        (listed,) = (value for key, value in answer.document.items() if key in ("choices", "forecasts"))
        assert len(listed) in (8, 3000)
        assert len(answer.body) > 300_000
    assert comes_back(server, before)
