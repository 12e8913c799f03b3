"""``rnnserve models import``: a foreign ONNX file becomes a bundle of the first models folder.

    file --child process: convert--> bundle in a hidden folder --child process: verify--> models folder

Both children have bounded time and memory, since they run what somebody else has made.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Option, echo

from app.core.errors import BundleError, ConfigurationError
from app.registry.install import install, read_head
from app.registry.origin import Budget, local_origin
from app.settings import load_settings


def import_onnx(
    model: Annotated[Path, Argument(help="ONNX file whose states are inputs and outputs")],
    name: Annotated[str, Option(help="of the bundle")],
    version: Annotated[str, Option(help="of the bundle")] = "1",
    state: Annotated[list[str] | None, Option(help="INPUT:OUTPUT of a state, each; else guessed")] = None,
    input: Annotated[str | None, Option(help="input that gets the steps")] = None,
    output: Annotated[str | None, Option(help="outputs to serve, by commas; all but states")] = None,
    time_axis: Annotated[str | None, Option(help="of that input: 0, 1, ... or none")] = None,
    batch_axis: Annotated[str | None, Option(help="of that input: 0, 1, ... or none")] = None,
    set: Annotated[list[str] | None, Option(help="NAME=NUMBER: an input that always gets the same")] = None,
    step: Annotated[int | None, Option(help="numbers of a step, where there is no time axis")] = None,
    context: Annotated[int | None, Option(help="so many last numbers of a step begin the next")] = None,
    one_hot: Annotated[bool | None, Option("--one-hot", help="steps are tokens, as one-hot vectors")] = None,
    vocabulary: Annotated[int | None, Option(help="how many tokens there are")] = None,
    tokenizer: Annotated[Path | None, Option(help="tokenizer.json, to read texts")] = None,
    columns: Annotated[str | None, Option(help="names of the numbers of a step, by commas")] = None,
    labels: Annotated[Path | None, Option(help="file with a label of the first output a line")] = None,
    scores: Annotated[Literal["logits", "probabilities"] | None, Option(help="of the first output")] = None,
    read: Annotated[Literal["last", "each"] | None, Option(help="outputs of a request (each)")] = None,
    exact: Annotated[bool | None, Option("--exact", help="equal bits, if need be one by one")] = None,
    samples: Annotated[Path | None, Option(help=".npy of real steps, in place of random ones")] = None,
    description: Annotated[str | None, Option(help="a sentence for people")] = None,
    config: Annotated[Path | None, Option(help="TOML file of these, of columns and outputs")] = None,
    models: Annotated[list[str] | None, Option(help="places of bundles; the first folder gets it")] = None,
    replace: Annotated[bool, Option(help="replace a bundle of the same version")] = False,
    timeout_s: Annotated[float, Option(min=1, max=86_400, help="seconds it may take")] = 300.0,
    memory_mb: Annotated[int, Option(min=256, max=1 << 20, help="memory it may have")] = 8192,
) -> None:
    """Make a bundle of an ONNX graph with state inputs and outputs; see docs/onnx-import.md."""
    flags = {key: value for key, value in locals().items() if key not in _OURS and value is not None}
    settings = load_settings(models=models or None)
    if not settings.model_folders:
        raise ConfigurationError("--models names no folder to add a bundle to")
    memory = memory_mb << 20
    with tempfile.TemporaryDirectory(prefix="rnnserve-import-") as folder:
        asked = {"flags": {**flags, "out": folder}, "config": config, "memory_bytes": memory}
        _run("training.importing", [], timeout_s, memory, json.dumps(asked, default=str))
        (path,) = Path(folder).glob("*/*")
        _run("app", ["models", "verify", str(path), "--models", folder], timeout_s, memory, None)
        budget = Budget(settings.max_bundle_bytes, settings.fetch_timeout_s)
        with local_origin(path, settings.max_bundle_bytes) as origin:
            done = install(origin, read_head(origin), settings.model_folders[0], budget, replace=replace)
    echo(f"{done.manifest.reference} {'added' if done.fresh else 'is there already'}: {done.path}")


_OURS = frozenset({"config", "models", "replace", "timeout_s", "memory_mb"})


def _run(module: str, arguments: list[str], seconds: float, memory: int, text: str | None) -> None:
    """A child whose lines are printed; what it says when it fails is the error.

    Raises:
        BundleError: it failed, took too long, or was ended for its memory.
    """
    command = [sys.executable, "-m", module, *arguments]
    quiet = text is None
    try:
        child = subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if quiet else None,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.PIPE,
            text=True,
            timeout=seconds,
            preexec_fn=partial(_bound, memory),
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"it took more than {seconds:g} s; --timeout-s allows more") from None
    if child.returncode:
        said: Any = (child.stderr.strip() or (child.stdout or "").strip()).splitlines()
        bad = [line.strip() for line in (child.stdout or "").splitlines() if " BAD " in f" {line}"]
        reason = (bad or said or ["it ended without a word"])[-1]
        if child.returncode < 0:
            name = signal.Signals(-child.returncode).name
            reason = f"ONNX Runtime crashed with the graph ({name}); export it in float32, or another opset"
        hint = "; --memory-mb allows more" if "emory" in reason or child.returncode == -signal.SIGKILL else ""
        raise BundleError(f"{reason}{hint}")


def _bound(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
