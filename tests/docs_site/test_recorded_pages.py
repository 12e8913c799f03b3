"""What the pages on first steps and one's own data show is what a server and the commands give."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.access.key_file import KeyDefaults
from app.access.key_ring import KeyRing
from app.bundle.reader import read_bundle
from app.cli import cli
from app.settings import load_settings
from tests.docs_site.recorded import DOCS, PAGES, blocks, run, value_of
from tests.docs_site.site import ROOT
from tests.e2e.server import ServerProcess
from tests.readme import SHIPPED, same
from training.cli import command_line

DATA = (DOCS / "your-data.md").read_text()
SMALL = ["--hidden", "8", "--epochs", "1", "--threads", "1", "--quiet"]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """The shipped bundles."""
    with ServerProcess(SHIPPED, load="on-demand") as server:
        yield server


@pytest.mark.parametrize("page", PAGES)
def test_the_answers_are_those_of_the_server(server: ServerProcess, page: str) -> None:
    """Every request of the page, in its order; ``make readme`` writes the answers again."""
    shown = list(run((DOCS / page).read_text(), server.port))
    assert len([one for one in shown if one.answer]) >= 2
    for one in shown:
        assert one.got
        if one.answer is not None:
            assert one.answer, f"no answer is shown under {one.command}; run `make readme`"
            assert same(value_of(one.answer), value_of(one.got)), one.got


def test_the_pictures_of_the_page_are_drawn(folder: Path) -> None:
    """Every ``rnnserve forecast`` that asks for one, in this process, with the shipped models beside it."""
    found = [words for words in commands(DATA, "rnnserve") if "--plot" in words]
    assert found
    for words in found:
        result = CliRunner().invoke(cli, [*words, "--models", str(SHIPPED)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert (folder / words[words.index("--plot") + 1]).stat().st_size > 5_000
        assert (folder / words[words.index("--out") + 1]).read_text().startswith("id,step,timestamp,mean,")


def test_the_backtest_prints_what_is_shown(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """The program of the page, word for word; the shipped forecaster is better than last year's values."""
    (code,) = [body for kind, body in blocks(DATA) if kind == "python"]
    (shown,) = [body for kind, body in blocks(DATA) if kind == "text" and body.startswith("mean")]
    code = code.replace("localhost:8000", f"localhost:{server.port}").replace(
        '"examples/', f'"{ROOT}/examples/'
    )
    exec(compile(code, "your-data.md", "exec"), {})
    printed = capsys.readouterr().out
    for ours, theirs in zip(shown.splitlines(), printed.splitlines(), strict=True):
        (a, x), (b, y) = (re.fullmatch(r"(.*?)([\d.]+)%?", one).groups() for one in (ours, theirs))  # type: ignore[union-attr]  # they match
        assert a == b
        assert math.isclose(float(x), float(y), rel_tol=0.02)


def commands(page: str, program: str) -> list[list[str]]:
    """Every call of a program in the code blocks of a page, in words."""
    return [
        shlex.split(line.removeprefix(".venv/bin/"))[1:]
        for kind, body in blocks(page)
        for line in body.splitlines()
        if kind in ("", "bash") and line.removeprefix(".venv/bin/").startswith(f"{program} ")
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the page speaks of."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    words = ["fine", "dull", "bright", "long", "short", "kind", "cold"]
    rows = [f"a {words[k % 7]} and {'good' if k % 2 else 'bad'} film,{k % 2 + 1}" for k in range(120)]
    (tmp_path / "reviews.csv").write_text("\n".join(["review,stars", *rows]))
    (tmp_path / "book.txt").write_text("It was a dark and stormy night; the rain fell in torrents.\n" * 60)
    levels = [(machine, day, (machine * 7 + day * 3) % 11) for machine in range(8) for day in range(20)]
    lines = [f"M{machine},{day},{level},{20 + level},{int(level > 5)}" for machine, day, level in levels]
    (tmp_path / "readings.csv").write_text("\n".join(["machine,day,vibration,heat,failure", *lines]))
    (tmp_path / "models").mkdir()
    for name in ("sentiment", "shakespeare"):
        (tmp_path / "models" / name).symlink_to(SHIPPED / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


TRAINING = [one for one in commands(DATA, "rnnserve-train") if "--name" in one]


def test_the_page_trains_all_tasks() -> None:
    """Each has a command; those that read texts have one that goes on from a shipped model."""
    tasks = [words[0] for words in TRAINING]
    assert tasks == ["forecast", "sentiment", "generate", "generate", "sentiment", "sequence"]


@pytest.mark.parametrize("words", TRAINING, ids=lambda words: words[0])
def test_a_training_command_makes_the_bundle(folder: Path, words: list[str]) -> None:
    """As it stands, but smaller and shorter; a forecast prints the lines that the page shows."""
    # The size of a network to go on from is settled.
    small = SMALL[2:] if "--from" in words else SMALL
    result = CliRunner().invoke(command_line(), [*words, *small], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    name = words[words.index("--name") + 1]
    manifest = read_bundle(folder / "models" / name / "1").manifest
    assert manifest.task == words[0]
    if words[0] == "forecast":
        (shown,) = [body for kind, body in blocks(DATA) if kind == "text" and body.startswith("wrote")]
        ours = re.compile(r"((?:1-12 steps|loss|interval) )[\d.]+")
        assert ours.sub(r"\1N", shown.strip()) == ours.sub(r"\1N", result.output.strip())


def test_the_quality_command_prints_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all shipped bundles."""
    (words,) = [one for one in commands(DATA, "rnnserve-train") if one[0] == "quality"]
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(command_line(), words, catch_exceptions=False)
    for path in SHIPPED.iterdir():
        assert f"| {path.name}@" in result.output


def test_the_key_of_the_page_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first command prints a key and puts it into the file that the second one reads."""
    new, serve = commands((DOCS / "first-steps.md").read_text(), "rnnserve")
    monkeypatch.chdir(tmp_path)
    key = CliRunner().invoke(cli, new, catch_exceptions=False).stdout.split()[0].encode()
    assert serve[:2] == ["serve", "--keys"]
    file = load_settings(keys=serve[2]).keys
    assert file is not None
    assert KeyRing(Path(file), KeyDefaults()).find(key).principal.name == "alice"
