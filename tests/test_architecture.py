"""The rules that import-linter cannot see, and import-linter itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from app.registered import TASKS

ROOT = Path(__file__).parent.parent
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
CONTRACTS = {one["name"]: one for one in TOOLS["importlinter"]["contracts"]}
THE_MAP = "The map: a layer imports what stands below it, never what stands above"
SOURCES = sorted([*ROOT.glob("app/**/*.py"), *ROOT.glob("training/**/*.py")])
MAX_LINES = 350
ADDRESS = re.compile(r"https?://\S+")
EXTENSION = '"sequence", "sequence(string_id)"'
"""The name of an extension of the Open Inference Protocol."""
COMMON_WORDS = ("sequence", "compose", "translate")
TOLD_BY_PLACE = r"[\"'`]{0}[\"'`]|/{0}\b|(tasks|training)\.{0}\b"
"""Words of the trade that tasks are named after; a task is told from them by quotes, or by its path."""
UNTOLD = re.compile(r"# (?:noqa|type: ignore)(?:: ?[A-Z]\w*|\[[\w, -]+\])?\s*$", re.MULTILINE)
"""What a check passes over without a reason beside it."""
MAX_FILES = 20
MAX_LINES_OF_GENERIC_APP = 29_340
"""820 of them are beam searches: the search (255), its runs (130), its jobs in the engine (300), its request
and how tasks and keys see it (135). 100 are what sessions on token models say, and operations that are
fetched. 1,150 are encoders: a second engine and its graphs (300), what runs and
sessions attend to (200), its bounded memory (250), the proofs at load and in ``verify`` (250), manifest and
reader (150). 300 came from the folders of tasks that write by beams: options, searches, streams and texts of
these (250), and the n-grams that must not come twice (40). 45 say what is wrong with a table that is none,
and read months as people write them. 110 follow a slot from node to node of a Redis cluster."""
MAX_LINES_OF_SERVICE = 1_300
WINGS = {
    ("app/batch/", "app/cli_batch.py", "app/tasks/batch.py"): 2_470,
    ("app/sessions/stores/redis_cluster.py", "app/sessions/stores/sharded.py"): 160,
}
"""Files of ``app`` that may be left out as a whole, with the lines that they may have. Nothing else imports a
wing but the list of commands or of stores that it stands in, and tasks the words in which they declare their
side of it."""


def relative(path: Path) -> str:
    """For test ids."""
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text())


@cache
def imported(path: Path) -> set[str]:
    """Top-level names of every module that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def modules(layers: Iterable[str]) -> set[str]:
    """The modules that a contract lists, several in a line."""
    return {name.strip() for layer in layers for name in layer.split("|")}


def only(library: str, *places: str) -> list[str]:
    """Files of ``app`` outside ``places`` that import ``library``."""
    return [
        relative(path)
        for path in SOURCES
        if relative(path).startswith("app/")
        and library in imported(path)
        and not relative(path).startswith(places)
    ]


def test_the_import_contracts_hold() -> None:
    """The map of the design, as import-linter reads it from pyproject.toml."""
    # In a process of its own, since it disables the loggers of the one it runs in.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_map_names_every_module_of_app() -> None:
    """A new package or file at the top of ``app`` must get its place among the layers."""
    named = {name.removeprefix("app.") for name in modules(CONTRACTS[THE_MAP]["layers"])}
    present = {
        path.stem
        for path in (ROOT / "app").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert present - {"__init__", "__main__"} == named


@pytest.mark.parametrize(
    ("contract", "folders"),
    [
        ("No task imports another", "app/tasks/*/task.py"),
        ("What tasks share knows none of them", "app/tasks/*/task.py"),
        (
            "Only the composition root knows the list of tasks, and settings for the limits in it",
            "app/tasks/*/task.py",
        ),
        ("No protocol imports another", "app/protocols/*/__init__.py"),
        ("No recipe imports another, and only their list knows them all", "training/*/recipe.py"),
    ],
)
def test_a_contract_names_every_folder_that_it_keeps_apart(contract: str, folders: str) -> None:
    """A task, a protocol or a recipe that is added gets its line there."""
    lists = (CONTRACTS[contract].get(key, ()) for key in ("modules", "forbidden_modules", "layers"))
    named = modules(name for listed in lists for name in listed)
    present = {relative(path.parent).replace("/", ".") for path in ROOT.glob(folders)}
    assert present
    assert present <= named


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("fastapi", ("app/edge/", "app/protocols/", "app/main.py")),
        ("starlette", ("app/edge/", "app/protocols/", "app/main.py")),
        ("uvicorn", ("app/edge/",)),
        ("onnxruntime", ("app/runtime/session.py",)),
        ("prometheus_client", ("app/telemetry/",)),
        ("opentelemetry", ("app/telemetry/",)),
        ("structlog", ("app/telemetry/",)),
        ("tokenizers", ("app/features/text.py",)),
        ("soundfile", ("app/tasks/transcribe/audio.py",)),
        ("soxr", ("app/tasks/transcribe/audio.py",)),
        (
            "typer",
            ("app/cli.py", "app/cli_batch.py", "app/cli_import.py", "app/cli_models.py", "app/cli_tasks.py"),
        ),
        ("pyarrow", ("app/batch/arrow.py",)),
        ("mido", ("app/tasks/compose/midi.py",)),
        ("matplotlib", ("app/tasks/forecast/shell/picture.py",)),
        ("fsspec", ("app/remote/place.py",)),
        ("aiohttp", ("app/remote/place.py",)),
        ("torch", ()),
        ("onnx", ()),
        ("pickle", ()),
    ],
)
def test_a_library_is_known_in_one_place(library: str, places: tuple[str, ...]) -> None:
    """Whoever wants to replace it knows where to look."""
    assert only(library, *places) == []


def test_the_client_needs_nothing_of_the_server() -> None:
    """It is a distribution of its own and knows the server by its wire alone."""
    sources = list(ROOT.glob("client/*/*.py"))
    assert sources
    assert not set[str]().union(*map(imported, sources)) & {"app", "training"}


def test_the_environment_is_read_in_one_place() -> None:
    """Settings are read once and passed on as values."""
    readers = [
        relative(path)
        for path in SOURCES
        if relative(path).startswith("app/")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert set(readers) <= {"app/settings/sources.py"}


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_stay_short_and_open_with_their_purpose(path: Path) -> None:
    """A module docstring where there is code, and no file of helpers."""
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)) or not text.strip(), "a module says what it is for"
    assert len(text.splitlines()) <= MAX_LINES
    assert path.stem not in ("utils", "util", "helpers", "misc")


def test_the_server_stays_small() -> None:
    """A task may add its folder; whoever adds elsewhere takes something away."""
    sources = [path for path in SOURCES if relative(path).startswith("app/")]
    lines = {path: len(path.read_text().splitlines()) for path in sources}
    own = tuple(f"app/tasks/{task.name}/" for task in TASKS)
    optional = tuple(place for wing in WINGS for place in wing)
    generic = sum(count for path, count in lines.items() if not relative(path).startswith((*own, *optional)))
    for wing, most in WINGS.items():
        assert sum(count for path, count in lines.items() if relative(path).startswith(wing)) <= most
    assert generic <= MAX_LINES_OF_GENERIC_APP
    service = [count for path, count in lines.items() if relative(path).startswith("app/service/")]
    assert sum(service) <= MAX_LINES_OF_SERVICE
    files = Counter(relative(path.parent) for path in lines)
    assert [folder for folder, count in files.items() if count > MAX_FILES] == []


def test_only_the_lists_name_a_task() -> None:
    """A task comes and goes with its folder and its line in a list."""
    names = [
        TOLD_BY_PLACE.format(task.name) if task.name in COMMON_WORDS else rf"\b{task.name}\b"
        for task in TASKS
    ]
    named = re.compile("|".join(names), re.IGNORECASE)
    # The folders of public data are called after what they are for.
    lists: tuple[str, ...] = ("app/registered.py", "training/recipes.py", "training/data/catalogue.py")
    # Foreign networks become bundles of one task, that of networks of any kind.
    lists += ("training/importing/importer.py",)
    own = tuple(f"{side}/{task.name}/" for task in TASKS for side in ("app/tasks", "training"))
    texts = [path for kind in ("py", "js", "html", "css") for path in ROOT.glob(f"app/**/*.{kind}")]
    texts += [*ROOT.glob("training/**/*.py"), *ROOT.glob("client/rnnserve_bench/*.py")]
    texts += [path for path in ROOT.glob("deploy/**/*") if path.is_file() and path.suffix != ".pyc"]
    naming = [
        f"{relative(path)}: {found[0]}"
        for path in texts
        if not relative(path).startswith((*own, *lists))
        and (found := named.search(ADDRESS.sub("", path.read_text().replace(EXTENSION, ""))))
    ]
    assert naming == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_is_unpickled(path: Path) -> None:
    """No pickle, and every torch.load says weights_only."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if ast.unparse(node.func) == "torch.load":
                assert ast.unparse(given["weights_only"]) == "True"
            if ast.unparse(node.func) in ("np.load", "numpy.load"):
                assert ast.unparse(given["allow_pickle"]) == "False"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            assert node.attr == "UnpicklingError", "only the error that torch.load raises"
    assert not imported(path) & {"dill", "cloudpickle", "joblib", "shelve", "marshal"}


@pytest.mark.parametrize("folder", TOOLS["mypy"]["files"])
def test_what_a_check_passes_over_has_its_reason(folder: str) -> None:
    """On the same line."""
    sources = ROOT.glob(f"{folder}/**/*.py")
    assert [relative(path) for path in sources if UNTOLD.search(path.read_text())] == []


def test_dataclasses_of_app_have_slots() -> None:
    """A misspelt attribute is an error, and small objects stay small."""
    loose = [
        f"{relative(path)}: {node.name}"
        for path in SOURCES
        if relative(path).startswith("app/")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if "dataclass" in ast.unparse(decorator) and "slots=True" not in ast.unparse(decorator)
    ]
    assert loose == []
