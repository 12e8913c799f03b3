"""The command line that follows from the settings: its options, and the command that a run records."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from app.bundle.reader import read_manifest
from tests.docs_site.site import ROOT
from training.cli import command_line, training_command
from training.recipes import RECIPES

CELL = """
    --cell rnn|lstm|gru
    --nonlinearity tanh|relu
    --layers int
    --hidden int
"""
NOISE = """
    --embedding int
    --dropout float
    --embedding-dropout float
    --recurrent-dropout float
"""
DESCENT = """
    --learning-rate float
    --weight-decay float
    --clip-norm float
    --warmup-steps int
    --average-decay float
"""
RUN = """
    --seed int
    --device str
    --name str
    --version str 1
    --out Path models
    --data Path
    --checkpoint Path
    --resume/--no-resume bool False
    --threads int
    --quiet/--no-quiet bool False
"""
OPTIONS = {
    "forecast": f"""
        --csv Path
        --time str
        --target list[str]
        --id str
        --freq str
        --season int
        --future str
        --past str
        --static str
        --holidays str
        --from str
        --horizon int
        --levels/--quantiles str
        {CELL}
        --local int
        --dropout float
        --relative-weight float
        --epochs int
        --batches int
        --batch-size int
        --length int
        --short int
        --origins int
        --made float
        --add-line float
        --add-noise float
        --patience int
        {DESCENT}
        --refit/--no-refit bool
        {RUN}
    """,
    "sentiment": f"""
        --dataset str
        --csv Path
        --text str text
        --label str label
        --from str
        --vocab-size int
        --min-count int
        {CELL}
        {NOISE}
        --word-dropout float
        --vectors/--no-vectors bool
        --epochs int
        --patience int
        --pretrain-epochs int
        --pretrain-learning-rate float
        --pretrain-noise float
        --pretrain-length int
        --max-tokens int
        --max-batch int
        --batch-tokens int
        --running-weight float
        --running-from int
        {DESCENT}
        --precision float32|bfloat16
        {RUN}
    """,
    "generate": f"""
        --dataset str
        --text Path
        --from str
        --lines/--no-lines bool
        --tokenizer char|bpe|word
        --vocab-size int
        {CELL}
        {NOISE}
        --tied/--no-tied bool
        --epochs int
        --patience int
        --batch-size int
        --length int
        --optimizer adamw|sgd
        {DESCENT}
        --rename-speakers float
        --dynamic/--no-dynamic bool
        --precision float32|bfloat16
        {RUN}
    """,
}
"""Flags, type and default of every option, in order; a setting without a default has the recipe's."""


def kind_of(annotation: Any) -> str:
    """The type of an option as the table writes it."""
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if get_origin(annotation) is UnionType or type(None) in get_args(annotation):
        (annotation,) = [part for part in get_args(annotation) if part is not type(None)]
        return kind_of(annotation)
    return str(annotation) if get_origin(annotation) else annotation.__name__


def options_of(task: str) -> list[str]:
    """The options of a command as the table writes them."""
    parameters = inspect.signature(training_command(RECIPES[task])).parameters
    command: Any = typer.main.get_command(command_line())
    lines = []
    for option in command.commands[task].params:
        (annotation, *_) = get_args(parameters[option.name].annotation)
        default = [] if option.default is None else [str(option.default)]
        flags = "/".join([*option.opts, *option.secondary_opts])
        lines.append(" ".join([flags, kind_of(annotation), *default]))
    return lines


@pytest.mark.parametrize("task", OPTIONS)
def test_every_option_is_what_it_was(task: str) -> None:
    """Flags, types, choices, defaults and their order."""
    assert options_of(task) == [line.strip() for line in OPTIONS[task].splitlines() if line.strip()]


def test_options_left_to_the_recipe_keep_their_defaults() -> None:
    """A run without ``--refit``; a classifier without ``--name``."""
    assert RECIPES["forecast"].Settings().refit is False
    assert RECIPES["sentiment"].bundle_name(RECIPES["sentiment"].__new__(RECIPES["sentiment"])) == "sentiment"


def test_every_option_has_a_help_text() -> None:
    """Of every command."""
    command: Any = typer.main.get_command(command_line())
    for task in RECIPES:
        assert all(option.help for option in command.commands[task].params)


RECORDED = {
    "forecast": """
        rnnserve-train forecast --csv sales.csv --time day --name sales --version 1 --horizon 3
        --quantiles 0.005,0.025,0.05,0.1,0.25,0.5,0.75,0.9,0.95,0.975,0.995 --cell lstm
        --nonlinearity tanh --layers 2 --hidden 4 --local 32 --dropout 0.2 --relative-weight 0.0
        --epochs 1 --batches 1 --batch-size 32 --length 25 --short 25 --origins 16 --made 0.0
        --add-line 0.0 --add-noise 0.0 --patience 6 --learning-rate 0.02 --weight-decay 0.05
        --clip-norm 1.0 --warmup-steps 30 --average-decay 0.98 --no-refit --seed 0 --device cpu
        --target sold --target open
        """,
    "sentiment": """
        rnnserve-train sentiment --csv moods.csv --text review --label mood --name sentiment
        --version 1 --vocab-size 25000 --min-count 2 --cell gru --nonlinearity tanh --layers 1
        --hidden 4 --embedding 128 --dropout 0.5 --embedding-dropout 0.3 --recurrent-dropout 0.2
        --word-dropout 0.1 --no-vectors --epochs 1 --patience 4 --pretrain-epochs 0
        --pretrain-learning-rate 0.002 --pretrain-noise 1.0 --pretrain-length 70 --max-tokens 400
        --max-batch 256
        --batch-tokens 16384 --running-weight 0.3 --running-from 50 --learning-rate 0.001
        --weight-decay 0.02 --clip-norm 1.0 --warmup-steps 100 --average-decay 0.998 --precision
        float32 --seed 0 --device cpu
        """,
    "generate": """
        rnnserve-train generate --text song.txt --name generate --version 1 --lines --tokenizer
        char --vocab-size 2000 --cell lstm --nonlinearity tanh --layers 1 --hidden 4 --embedding
        64 --dropout 0.2 --embedding-dropout 0.0 --recurrent-dropout 0.0 --no-tied --epochs 1
        --patience 5 --batch-size 64 --length 128 --optimizer adamw --learning-rate 0.002
        --weight-decay 0.0
        --clip-norm 1.0 --warmup-steps 0 --average-decay 0.0 --rename-speakers 0.0 --no-dynamic
        --precision float32 --seed 0 --device cpu
        """,
}
"""What runs of the options in ``GIVEN`` record."""

SMALL = "--epochs 1 --hidden 4 --threads 1 --quiet --out models"
GIVEN = {
    "forecast": "--csv sales.csv --time day --target sold --target open --horizon 3 --batches 1",
    "sentiment": "--csv moods.csv --text review --label mood --no-vectors",
    "generate": "--text song.txt --lines",
}


@pytest.mark.parametrize("task", RECORDED)
def test_a_run_records_the_command_it_did(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word by word."""
    monkeypatch.chdir(tmp_path)
    sales = [f"2024-01-{day + 1:02d},{20 + day % 7 * 3 + day % 5},{day % 3}" for day in range(31)]
    Path("sales.csv").write_text("\n".join(["day,sold,open", *sales]))
    moods = [f"a {word} film,{mood}" for word, mood in (("good", "glad"), ("bad", "sad")) * 8]
    Path("moods.csv").write_text("\n".join(["review,mood", *moods]))
    Path("song.txt").write_text("the cat sat on the mat\n" * 40)
    words = [task, *GIVEN[task].split(), *SMALL.split()]
    result = CliRunner().invoke(command_line(), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (manifest,) = map(read_manifest, Path("models").glob("*/1"))
    assert manifest.provenance.command == " ".join(RECORDED[task].split())


@pytest.mark.parametrize(
    "words",
    [
        *(
            f"{task} {words}"
            for task in RECIPES
            for words in ("--hidden 0", "--layers 0", "--seed -1", "--threads 0")
            if words != "--layers 0" or hasattr(RECIPES[task].Settings, "layers")
        ),
        *(f"forecast {words}" for words in ("--dropout 1.5", "--batch-size 0", "--origins 0", "--short 0")),
        *("generate --length 0", "sentiment --max-batch 0"),
    ],
)
def test_a_number_that_nothing_can_be_trained_with_is_refused_at_once(words: str) -> None:
    """By its option, before any data is read."""
    result = CliRunner().invoke(command_line(), words.split())
    assert result.exit_code == 2
    assert f"Invalid value for '{words.split()[1]}'" in result.output


@pytest.mark.parametrize(
    "words", ["--help", "forecast --help", "generate --text x.txt", "download", "quality"]
)
def test_without_pytorch_one_line_says_what_to_install(words: str) -> None:
    """No traceback, whatever the command."""
    program = "import sys; sys.modules['torch'] = None; from training.cli import main; main()"
    command = [sys.executable, "-c", program, *words.split()]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        "rnnserve-train: the package 'torch' is missing; in a checkout, run: pip install '.[training]'\n"
    )


def test_no_task_is_named_outside_its_folder() -> None:
    """Neither in a string nor by its classes; the list of recipes and the files of data sets aside."""
    tasks = "|".join(RECIPES)
    capitals = "|".join(task.capitalize() for task in RECIPES)
    named = re.compile(rf"""["'`]({tasks})["'`]|\b({capitals})[A-Z]\w*|training\.({tasks})\b""")
    for path in sorted((ROOT / "training").rglob("*.py")):
        inside = path.relative_to(ROOT / "training")
        if inside.parts[0] not in RECIPES and inside.name not in ("recipes.py", "importer.py"):
            assert not named.findall(path.read_text()), inside
