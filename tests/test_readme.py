"""Each curl of the README gives what the README shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from app.registered import TASKS
from tests.e2e.server import ServerProcess
from tests.readme import README, SHIPPED, Example, ask, examples, figures, rewritten, same

TEXT = README.read_text()


@pytest.fixture(scope="module")
def shipped() -> Iterator[ServerProcess]:
    """A server with the shipped bundles, as ``make serve`` starts it."""
    with ServerProcess(SHIPPED) as server:
        yield server


@pytest.mark.parametrize("example", examples(TEXT), ids=lambda example: example.command[:60])
def test_a_command_gives_what_is_shown(shipped: ServerProcess, example: Example) -> None:
    """The printed answer is real; ``make readme`` writes it again when it has changed."""
    assert example.answer, "no answer is shown; run `make readme`"
    got = json.loads(ask(example.command, shipped.port))
    assert same(json.loads(example.answer), got), json.dumps(got)


def test_make_serve_and_the_image_read_sounds_and_pictures() -> None:
    """Else what a newcomer copies from here first is refused."""
    (serving,) = re.findall(r"\.serving: .*\n.*'\.\[(\S+)\]'", (README.parent / "Makefile").read_text())
    (image,) = re.findall(r"^ARG EXTRAS=(\S+)$", (README.parent / "Dockerfile").read_text(), re.MULTILINE)
    media = {"audio", "image", "midi"}
    assert media <= set(serving.split(","))
    assert media <= set(image.split(","))


def test_the_figures_are_those_of_the_manifests() -> None:
    """The table is made from them by ``make readme``."""
    assert rewritten(TEXT, [example.answer for example in examples(TEXT)], figures(SHIPPED)) == TEXT


def test_the_python_example_runs(shipped: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the text of its request."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(code.replace("localhost:8000", f"localhost:{shipped.port}"), "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert len(printed) == 200
    with connect(shipped.websocket) as socket:
        socket.send(json.dumps({"prompt": "JULIET:\n", "max_tokens": 1}))
        assert json.loads(socket.recv())["type"] == "token"


def test_the_bundles_that_the_defaults_name_are_served(shipped: ServerProcess) -> None:
    """Each task has the default model that the settings name."""
    with shipped.client() as client:
        served = {
            one["task"]: one["name"] for one in client.get("/models").json()["models"] if one["default"]
        }
    assert served == {
        "forecast": "forecaster",
        "sentiment": "sentiment",
        "generate": "shakespeare",
        "sequence": "surnames",
        "compose": "chorales",
        "transcribe": "digits",
        "translate": "translate",
        "caption": "captioner",
    }


PRESSED = [
    (f"/{task.name}", "application/json", json.dumps(example["value"]))
    for task in TASKS
    for example in task.examples.values()
] + [
    (f"/{task.name}?horizon=12", reader.media_types[0], str(example["value"]))
    for task in TASKS
    for reader in task.reads
    for example in reader.examples.values()
]


@pytest.mark.parametrize(("path", "kind", "body"), PRESSED)
def test_the_examples_of_the_documentation_work_when_pressed(
    shipped: ServerProcess, path: str, kind: str, body: str
) -> None:
    """Each is answered with 200 by the shipped bundles."""
    with shipped.client() as client:
        answer = client.post(path, content=body.encode(), headers={"content-type": kind})
    assert answer.status_code == 200, answer.text


def test_each_of_the_seven_applications_answers_its_command(shipped: ServerProcess) -> None:
    """The table's curls, one for each."""
    commands = re.findall(r"^\| \[.*\| `(curl .*)` \|$", TEXT, re.MULTILINE)
    answers = [json.loads(ask(command, shipped.port)) for command in commands]
    assert len({answer["model"] for answer in answers}) == len(commands) == 7
