"""``/static/client.js`` under Node: the example of its page, retries, resumption, a killed server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kills import free_port
from rnnserve_client import SyncClient
from tests.client.scripted import Scripted, answering
from tests.docs_site.recorded import DOCS, blocks
from tests.e2e.server import ServerProcess

NODE = shutil.which("node")
WAIT_S = 120
MODULE = Path(__file__).parents[2] / "app/page/js/client.js"
QUICK = "{ retry: { attempts: 3, firstMs: 1, longestMs: 2 } }"
PRINTED = (
    r"\[ 'positive', 'negative' \]\n.{40}1 null\n2 {.*}\n3 {.*}\n4 {.*}\n\[.*\]\n"
    "invalid-input values a forecast needs 2 or more values that are not null, got 1\n"
)

STEPS = 30
STORM = """
import { Client } from "./rnnserve.mjs";
const client = new Client(process.argv[2], { retry: { attempts: 400, longestMs: 100 } });
const session = await client.create({ task: "forecast" });
for (let value = 0; value < Number(process.argv[3]); value += 1) {
  console.log(JSON.stringify((await session.feed(value)).outputs));
}
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="no Node is installed (on Debian: apt install nodejs)")

Node = Callable[[str], str]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Runs a program beside the module; what it prints."""
    (tmp_path / "rnnserve.mjs").write_bytes(MODULE.read_bytes())

    def run(program: str) -> str:
        (tmp_path / "program.mjs").write_text(program)
        done = subprocess.run(
            [NODE or "", "program.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT_S
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """One that has nothing to say yet."""
    with answering() as server:
        yield server


def program(server: Scripted, body: str) -> str:
    """A body that has a ``client``."""
    made = f'const client = new Client("http://127.0.0.1:{server.server_port}", {QUICK});'
    return f'import {{ Client, Problem }} from "./rnnserve.mjs";\n{made}\n{body}'


def test_the_example_runs(node: Node, shipped: ServerProcess) -> None:
    """With the module as a server sends it, by the command of the page."""
    text = (DOCS / "clients.md").read_text()
    (code,) = [body for kind, body in blocks(text) if kind == "js"]
    (command,) = re.findall(r"^curl -s -o rnnserve\.mjs http://localhost:8000(\S+)$", text, re.MULTILINE)
    with shipped.client() as client:
        sent = client.get(command)
    assert sent.headers["content-type"] == "text/javascript; charset=utf-8"
    assert sent.content == MODULE.read_bytes()
    assert re.fullmatch(PRINTED, node(code.replace("localhost:8000", f"localhost:{shipped.port}")), re.DOTALL)


def test_what_is_sent_again_and_what_is_raised(node: Node, scripted: Scripted) -> None:
    """As the client in Python does it: after a pause, as often as it may, and never what cannot be mended."""
    scripted.say(503, {"detail": "busy", "status": 503}, retry_after="1")
    scripted.answers.append(None)
    scripted.say(200, {"models": []})
    for _ in range(3):
        scripted.say(503, {"type": "urn:rnnserve:problem:overloaded", "detail": "busy", "status": 503})
    scripted.say(422, {"status": 422, "detail": "no", "errors": [{"field": "a", "message": "b"}]})
    scripted.answers += [None, None, None, (200, "text/html", "<html>", {})]
    said = node(
        program(
            scripted,
            """
            console.log(JSON.stringify(await client.models()));
            for (let at = 0; at < 4; at += 1) {
              const problem = await client.answer("a?b ü", { text: "a" }).catch((error) => error);
              const { kind, status, attempts, detail } = problem;
              console.log(problem instanceof Problem, kind, status, attempts, detail);
            }
            try { new Client("localhost:8000"); } catch (error) { console.log(error.message); }
            """,
        )
    )
    lines = said.splitlines()
    assert lines[0] == "[]"
    assert scripted.asked[1][0] - scripted.asked[0][0] >= 1
    assert lines[1] == "true overloaded 503 3 busy"
    assert lines[2] == "true  422 1 no"
    assert lines[3].startswith("true unreachable 0 3 It may have been stopped")
    assert re.match(r"true  0 1 http://127\.0\.0\.1:\d+/a%3Fb%20%C3%BC answered with something", lines[4])
    assert lines[5] == "the address is localhost:8000; it must begin with http:// or https://"
    assert len(scripted.asked) == 3 + 3 + 1 + 3 + 1


def test_a_stream_is_resumed_and_a_session_is_not_lost(node: Node, scripted: Scripted) -> None:
    """What follows the last event is asked for; an id that the client drew is its own, another's is not."""
    event = 'id: 1\nevent: token\ndata: {"type": "token", "text": "a"}\n\n'
    scripted.answers += [(200, "text/event-stream", event, {}), None]
    scripted.answers.append((200, "text/event-stream", 'id: 2\ndata: {"type": "done"}\n\n', {}))
    taken = {"status": 409, "detail": "the id is taken"}
    scripted.answers.append(None)
    scripted.say(409, taken)
    scripted.say(200, {"id": "mine", "step": 7})
    scripted.say(409, taken)
    scripted.answers.append(None)
    scripted.say(200, {"seq": 8, "step": 8, "outputs": [{}]})
    scripted.say(200, {"seq": 9, "step": 9, "outputs": [{}]})
    scripted.say(410, {"status": 410, "reason": "closed"})
    said = node(
        program(
            scripted,
            """
            for await (const frame of client.stream("any", { prompt: "a" })) console.log(frame.type);
            const session = await client.create({ task: "any", id: "mine" });
            console.log(session.id, session.step);
            console.log(await client.create({ task: "any", id: "mine" }).catch((error) => error.message));
            console.log((await Promise.all([session.feed(1), session.feed(2)])).map((one) => one.step));
            await session.close();
            try { session.connect(); } catch (error) { console.log(error.message.slice(0, 33)); }
            """,
        ).replace(QUICK, f"{QUICK[:-1]}, WebSocket: null }}")
    )
    assert said.splitlines() == [
        "token",
        "done",
        "mine 7",
        "the id is taken",
        "[ 8, 9 ]",
        "this JavaScript has no WebSocket;",
    ]
    assert [headers.get("last-event-id") for headers in scripted.headers[:3]] == [None, "1", "1"]
    fed = [body for _, what, body in scripted.asked if what.endswith("/steps")]
    assert [body["seq"] for body in fed] == [8, 8, 9]


def test_a_killed_server_loses_and_doubles_nothing(node: Node, tiny_models: Path, tmp_path: Path) -> None:
    """Every answer of a session that is fed meanwhile is that of one which nothing disturbs."""
    flags: dict[str, Any] = {
        "state_dir": tmp_path / "state",
        "port": free_port(),
        "default": "forecast=tiny-series-gru",
    }
    server = ServerProcess(tiny_models, **flags)
    try:
        server.wait_until_ready()
        (tmp_path / "rnnserve.mjs").write_bytes(MODULE.read_bytes())
        (tmp_path / "storm.mjs").write_text(STORM)
        command = [NODE or "", "storm.mjs", f"http://127.0.0.1:{flags['port']}", str(STEPS)]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as storm:
            assert storm.stdout is not None
            outputs = []
            for line in storm.stdout:
                outputs.append(json.loads(line))
                if len(outputs) == STEPS // 3:
                    server.kill()
                    server = ServerProcess(tiny_models, **flags)
        assert storm.returncode == 0
        with SyncClient(server.url) as client:
            quiet = client.create(task="forecast")
            assert outputs == [quiet.feed(value).outputs for value in range(STEPS)]
            assert [one["step"] for one in client.sessions()] == [STEPS, STEPS]
    finally:
        server.kill()
