"""``rnnserve batch TASK INPUT --out OUTPUT``: a command for each task that says how, with its own flags."""

from __future__ import annotations

import codecs
import hashlib
import inspect
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError

from app.batch.cluster import Cluster
from app.batch.files import find_inputs
from app.batch.job import described, held
from app.batch.output import Output
from app.batch.place import place_to_read, place_to_write, reason, troubles
from app.batch.run import Done, Run
from app.batch.workers import Work, Workers
from app.bundle.manifest import MANIFEST_FILE
from app.bundle.reader import read_manifest
from app.core.errors import ConfigurationError, UnknownModel
from app.edge.errors import describe
from app.registry.look import look_at
from app.runtime.cores import usable_cores
from app.service.catalog import Catalog, Deployment, choose_defaults
from app.settings import Settings, load_settings
from app.tasks.batch import Batch
from app.tasks.task import Task

_LINE_S = 0.5
_MIB = 1 << 20

_INPUT = Annotated[
    Path,
    typer.Argument(
        parser=place_to_read,
        metavar="INPUT",
        help="a file, .csv, .jsonl or .parquet, or a folder of them; or s3://...",
    ),
]
_OUT = Annotated[
    Path,
    typer.Option(
        parser=place_to_write,
        metavar="OUTPUT",
        help="a file, .csv, .jsonl or .parquet; or a folder, which gets a file for each part; or s3://...",
        show_default=False,
    ),
]
_SKIP = Annotated[
    bool, typer.Option("--skip-bad", help="leave out what cannot be answered, and list it in a rejects file")
]
_RESTART = Annotated[
    bool, typer.Option("--restart", help="begin anew, and drop what an earlier run has done")
]
_WORKERS = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="processes; left out, one for each core", show_default=False),
]
_RAY = Annotated[
    str | None,
    typer.Option(
        help="a Ray cluster to work on: auto, host:port or ray://host:port; its nodes see the same files",
        metavar="ADDRESS",
        show_default=False,
    ),
]
_PART = Annotated[
    float,
    typer.Option(min=0.0001, max=4096, help="size of a part of the input, in MiB; the unit that is resumed"),
]
_FORMAT = Annotated[
    str | None,
    typer.Option("--format", help="of a folder's parts: csv, jsonl or parquet; left out, the input's"),
]
_ENCODING = Annotated[str, typer.Option(help="of CSV files, such as latin-1")]
_MODELS = Annotated[
    list[str] | None,
    typer.Option(help="folders of bundles; left out, those of the settings", show_default=False),
]


def batch_cli(tasks: Iterable[Task]) -> typer.Typer:
    """The command ``batch`` of these tasks."""
    found = typer.Typer(
        name="batch",
        help="Answer files of any size without a server, on all cores: a table in, a table out.\n\n"
        "A run that was ended goes on with the same command. See docs/batch.md.",
        no_args_is_help=True,
    )
    for task in tasks:
        if task.batch is not None:
            found.command(task.name)(_command(task, task.batch))
    return found


def _command(task: Task, batch: Batch) -> Callable[..., None]:
    """What typer makes ``rnnserve batch {task}`` of: a flag for each of its options, and the common ones."""

    def run(**given: Any) -> None:
        values = {name: given.pop(name) for name in batch.options.model_fields}
        values = {name: value for name, value in values.items() if value is not None}
        try:
            options = batch.options.model_validate(values)
        except ValidationError as error:
            raise ConfigurationError(f"--{describe(error, '').detail}") from error
        try:
            _run(task, options, values, **given)
        except troubles() as error:
            raise ConfigurationError(f"cannot write {str(given['out'])!r}: {reason(error)}") from error

    kinds: dict[str, tuple[Any, Any]] = {
        "input": (_INPUT, inspect.Parameter.empty),
        "out": (_OUT, inspect.Parameter.empty),
    }
    for name, field in batch.options.model_fields.items():
        text = (field.description or "").replace("[", "\\[").replace("`", "")
        kind: Any = bool if field.annotation is bool else str
        kinds[name] = (Annotated[kind | None, typer.Option(help=text, show_default=False)], None)
    kinds |= {"models": (_MODELS, None), "skip_bad": (_SKIP, False), "restart": (_RESTART, False)}
    kinds |= {
        "workers": (_WORKERS, None),
        "ray": (_RAY, None),
        "part_mb": (_PART, 4.0),
        "format": (_FORMAT, None),
    }
    kinds |= {"encoding": (_ENCODING, "utf-8")}
    run.__name__, run.__doc__ = task.name, batch.doc
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (kind, default) in kinds.items()
        ]
    )
    return run


def _run(
    task: Task,
    options: BaseModel,
    values: dict[str, Any],
    *,
    input: Path,
    out: Path,
    models: list[str] | None,
    skip_bad: bool,
    restart: bool,
    workers: int | None,
    ray: str | None,
    part_mb: float,
    format: str | None,
    encoding: str,
) -> None:
    settings = load_settings(models=models or None)
    _check_encoding(encoding)
    if ray is not None:
        if workers is not None:
            raise ConfigurationError("--workers are processes of this machine; with --ray give none")
        input, out = input.resolve(), out.resolve()
    files = find_inputs(input)
    output = Output(out, format or files[0].kind)
    bundle, reference = _bundle(settings, task, getattr(options, "model", None))
    size = max(1, int(part_mb * _MIB))
    digest = hashlib.sha256((bundle / MANIFEST_FILE).read_bytes()).hexdigest()
    asked = values | {"part_mb": part_mb, "encoding": encoding, "format": output.kind}
    asked.pop("model", None)  # which it came to is what counts
    job = described(task.name, reference, digest, asked, files)
    total = sum(file.size for file in files)
    num = workers or (1 if total <= size else usable_cores())
    line = _Line(total)
    work = Work(settings, bundle.resolve(), options, output)
    try:
        with held(output, job, restart=restart) as begun:
            if begun and output.complete:
                typer.echo(f"{out} is complete already; --restart makes it anew", err=True)
                return
            with Workers(work, num) if ray is None else Cluster(work, ray) as pool:
                run = Run(
                    files, output, pool, size=size, encoding=encoding, skip_bad=skip_bad, tell=line.tell
                )
                done = run.finish()
    except KeyboardInterrupt:
        line.clear()
        typer.echo("rnnserve: stopped; the same command goes on from what is done", err=True)
        raise typer.Exit(130) from None
    finally:
        line.clear()
    typer.echo(_summary(done, output, line.seconds), err=True)


def _check_encoding(encoding: str) -> None:
    try:
        single = codecs.lookup(encoding).name and '\n",;'.encode(encoding) == b'\n",;'
    except LookupError:
        single = False
    if not single:
        raise ConfigurationError(
            f"--encoding is {encoding!r}; it must be one in which lines end by one byte, such as utf-8, "
            "latin-1 or cp1252"
        )


def _bundle(settings: Settings, task: Task, model: str | None) -> tuple[Path, str]:
    """The bundle that a server with these settings would ask; raises UnknownModel, ConfigurationError."""
    if settings.remote_models:
        raise ConfigurationError(
            "--models: batch work reads folders; `rnnserve models fetch` copies a bundle into one"
        )
    look = look_at(settings.model_folders)
    deployments = [Deployment(read_manifest(found.path), task, None, None) for found in look.bundles.values()]  # type: ignore[arg-type]  # nothing is asked of them
    own = [each for each in deployments if each.manifest.task == task.name]
    labels = {name: found for name, found in look.labels.items() if found}
    catalog = Catalog(own, {}, labels)
    wanted = model or choose_defaults(own, settings.default_models, labels).get(task.name)
    found = None if wanted is None else catalog.find(wanted)
    if found is None:
        available = tuple(each.reference for each in own)
        raise UnknownModel(f"for {task.name}" if model is None else model, available)
    return look.bundles[found.reference].path, found.reference


class _Line:
    """A line of progress, on a terminal only."""

    def __init__(self, total: int) -> None:
        self._shown = sys.stderr.isatty()
        self._started = self._last = time.monotonic()
        self._before = 0.0
        self._width = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def tell(self, done: Done) -> None:
        now = time.monotonic()
        if not self._shown or now - self._last < _LINE_S:
            return
        self._last = now
        share, seconds = min(done.share, 1.0), max(self.seconds, 1e-9)
        rate = (done.items - done.kept_items) / seconds
        new = share - done.kept_share
        left = seconds * (1 - share) / new if new > 0 else 0.0
        text = f"{share:4.0%}  {done.items:,} sequences  {rate:,.0f} a second  {_clock(left)} left"
        if done.rejects:
            text += f"  {len(done.rejects):,} bad"
        sys.stderr.write(f"\r{text:<{self._width}}")
        sys.stderr.flush()
        self._width = len(text)

    def clear(self) -> None:
        if self._width:
            sys.stderr.write(f"\r{'':<{self._width}}\r")
            self._width = 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _summary(done: Done, output: Output, seconds: float) -> str:
    counted = f"{done.items:,} sequence{_s(done.items)}, {done.rows:,} row{_s(done.rows)}"
    parts = [f"{output.path}: {counted}, in {seconds:.1f} s"]
    if done.kept:
        verb = "was" if done.kept == 1 else "were"
        parts.append(f"{done.kept:,} part{_s(done.kept)} {verb} done before")
    if done.rejects:
        parts.append(f"{len(done.rejects):,} left out, see {output.rejects}")
    return "; ".join(parts)
