"""``rnnserve ask`` and ``rnnserve session``, against servers whose tasks the commands do not know."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnnserve_client.shell.command import main
from tests.docs_site.recorded import DOCS, blocks
from tests.e2e.server import ServerProcess
from tests.models_lifecycle.test_cli_models import command
from tests.parity.network import export_parity
from tests.readme import examples
from tests.wheels import ROOT, Environment

PAGE = (DOCS / "clients.md").read_text()
SHOWN = [
    one for kind, body in blocks(PAGE) if kind == "console" for one in examples(f"```console\n{body}```")
]


@pytest.fixture(scope="module")
def parity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with one task, which is made for tests."""
    folder = tmp_path_factory.mktemp("parity")
    export_parity(folder)
    with ServerProcess(folder, tasks="parity") as server:
        yield server


class Shell:
    """Runs commands against a server and reads what they print."""

    def __init__(self, server: ServerProcess, captured: pytest.CaptureFixture[str]) -> None:
        self._url = server.url
        self._captured = captured

    def run(self, *words: str) -> str:
        """What a command prints that ends well."""
        assert main([*words, "--url", self._url]) == 0, self._captured.readouterr().err
        return self._captured.readouterr().out

    def refused(self, *words: str) -> str:
        """The one line of a command that does not."""
        assert main([*words, "--url", self._url]) == 2
        said = self._captured.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        return said.err


@pytest.fixture
def shell(parity: ServerProcess, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Of the task that nobody knows."""
    return Shell(parity, capsys)


def test_the_examples_of_the_page(shipped: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command of the server, one after the other; answers are as shown."""
    monkeypatch.chdir(ROOT)
    assert len(SHOWN) == 8
    for one in SHOWN:
        _, *words = shlex.split(one.command)
        status, said = command(*words, "--url", shipped.url)
        assert status == 0, said
        if one.answer:
            assert masked(said) == masked(one.answer)


def masked(said: str) -> str:
    """Without the last digits of numbers, which another processor may round differently."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", said.strip())


def test_what_a_task_takes_is_read_from_the_server(shell: Shell) -> None:
    """Words, a list and a flag go into the same field; a switch streams; the help names the fields."""
    assert "tasks: parity\n" in shell.run("ask")
    assert shell.run("ask", "parity", "1", "0", "1") == "model: parity@1\nparities: 1, 1, 0\n"
    for words in (
        ["1,0", "1"],
        ["[1, 0, 1]"],
        ["--bits", "1,0,1"],
        ["--bits", "1", "--bits", "0", "--bits", "1"],
    ):
        said = shell.run("ask", "parity", *words, "--json")
        assert json.loads(said) == {"model": "parity@1", "parities": [1, 1, 0]}
    frames = [json.loads(line) for line in shell.run("ask", "parity", "1", "--stream", "--json").splitlines()]
    assert frames[-1]["type"] == "done"


def test_the_help_of_a_task_is_made_of_its_fields(
    parity: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has its flag."""
    with pytest.raises(SystemExit) as ended:
        main(["ask", "parity", "--help", "--url", parity.url])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "usage: rnnserve-client ask parity" in said
    for part in ("--bits X", "--stream, --no-stream", "--model X"):
        assert part in said


def test_the_help_needs_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    """Before a task is named."""
    assert main(["ask", "--help", "--url", "http://127.0.0.1:9"]) == 0
    assert capsys.readouterr().out.startswith("usage: rnnserve-client ask [TASK")


def test_mistakes_are_one_line(shell: Shell) -> None:
    """Which says what was wrong, and what is allowed or where to look."""
    for words, said in (
        (["ask", "nobody"], "the server has no task 'nobody'; it has parity"),
        (["ask", "parity", "one"], "bits: 'one' is no integer"),
        (["ask", "parity", "2"], "bits.0: a bit is 0 or 1"),
        (["ask", "parity", "1", "--bits", "0"], "bits is given twice"),
        (
            ["ask", "parity", "--nope", "1"],
            "unrecognized arguments: --nope; see rnnserve-client ask parity --help",
        ),
        (["session", "feed", "nobody", "1"], "there is no session 'nobody'"),
        (["session", "new", "--option", "h"], "--option 'h' is not NAME=VALUE"),
        (["session", "ask", "nobody", "sing"], "sessions of this server have no 'sing'"),
        (["session", "frob"], "argument ACTION: invalid choice: 'frob'"),
        (["session", "show", "a", "b"], "'b' is not known here; see --help"),
    ):
        assert shell.refused(*words).startswith(f"rnnserve-client: {said}"), words


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """The address is named."""
    assert main(["ask", "--url", "localhost:1"]) == 2
    assert "it must be like http://localhost:8000" in capsys.readouterr().err


def test_a_session_goes_on_from_command_to_command(
    shipped: ServerProcess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers and gaps, lines of a pipe, text, an answer that moves it, a copy, and its end."""
    shell = Shell(shipped, capsys)
    shell.run("session", "new", "--task", "forecast", "--id", "tank", "--option", "freq=h")
    assert json.loads(shell.run("session", "feed", "tank", "5", "null", "6", "--json"))["step"] == 3
    monkeypatch.setattr(sys, "stdin", io.StringIO("7\n8.5\n"))
    lines = shell.run("session", "feed", "tank", "-", "--json").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 5]
    shell.run("session", "new", "--task", "generate", "--id", "scene")
    assert json.loads(shell.run("session", "feed", "scene", "12", "--text", "--json"))["step"] == 2
    text = shell.run("session", "ask", "scene", "generate", "A", "--advance", "--stream", "--max-tokens", "9")
    assert len(text) >= 9
    assert json.loads(shell.run("session", "show", "scene", "--json"))["step"] == 12
    copy = json.loads(shell.run("session", "fork", "scene", "--json"))["id"]
    listed = shell.run("session", "list")
    assert f"{copy}  shakespeare@2  step 12  until " in listed
    for id in ("tank", "scene", copy):
        assert shell.run("session", "close", id) == ""
    assert "closed at" in shell.refused("session", "show", "scene")


def test_the_installed_command(installed: Environment, shipped: ServerProcess, tmp_path: Path) -> None:
    """Of the wheel, with text from a pipe."""
    program = str(installed.folder / "bin/rnnserve-client")
    done = installed.run(program, "ask", "sentiment", "dull", "--url", shipped.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "label: negative" in done.stdout
