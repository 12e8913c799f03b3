"""What a run is: written beside its parts, so that only the same run goes on with them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from app.batch.files import InputFile
from app.batch.output import Output, replaced
from app.core.errors import ConfigurationError

_AGAIN = "; --restart begins anew, and drops what is done"


def described(
    task: str, model: str, digest: str, options: Mapping[str, Any], files: Sequence[InputFile]
) -> dict[str, Any]:
    """A run, as JSON: what its answers depend on. ``digest`` is that of the bundle."""
    inputs = {file.name: [file.size, file.stamp] for file in files}
    return {"task": task, "model": model, "bundle": digest, "options": dict(options), "input": inputs}


@contextmanager
def held(output: Output, job: Mapping[str, Any], *, restart: bool) -> Iterator[bool]:
    """Hold an output for this run alone; whether an earlier one has begun it.

    Raises:
        ConfigurationError: it is being written, is there already, or was begun by another run.
        OSError: it cannot be written.
    """
    where = str(output.path)
    if output.complete and not output.is_folder and not restart:
        raise ConfigurationError(f"{where!r} is there already; name another --out, or give --restart")
    # A bucket has no folders, and nobody can hold one: two runs there write the same.
    with nullcontext() if output.remote else _alone(output.folder, where):
        try:
            if restart:
                output.clear()
            begun = output.job.exists() and (output.complete or not output.empty)
            if begun:
                _check_same(json.loads(output.job.read_text()), json.loads(json.dumps(job)), where)
            else:
                _begin(output, job, where)
            yield begun
        finally:
            if not output.is_folder and output.folder.is_dir() and output.empty:
                output.drop()


@contextmanager
def _alone(folder: Path, where: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"another run is writing {where!r}; wait for it, or end it") from error
        yield
    finally:
        os.close(handle)


def _begin(output: Output, job: Mapping[str, Any], where: str) -> None:
    others = output.folder.iterdir() if output.is_folder and output.folder.is_dir() else ()
    if (strange := next((path for path in others if path != output.job), None)) is not None:
        raise ConfigurationError(f"the folder {where!r} holds {strange.name!r}; name an empty one")
    with replaced(output.job) as path:
        path.write_text(json.dumps(job, indent=2))


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    for what in ("task", "model", "bundle"):
        if before.get(what) != now[what]:
            told = (
                f"by the {what} {before.get(what)}, not {now[what]}"
                if what != "bundle"
                else "by other weights"
            )
            raise ConfigurationError(f"{where!r} was begun {told}{_AGAIN}")
    for name in {**before["options"], **now["options"]}:
        old, new = before["options"].get(name), now["options"].get(name)
        if old != new:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigurationError(
                f"{where!r} was begun with {flag} {_said(old)}, not {_said(new)}{_AGAIN}"
            )
    for name in {**before["input"], **now["input"]}:
        old, new = before["input"].get(name), now["input"].get(name)
        if old != new:
            what = "is new" if old is None else "has gone" if new is None else "has changed"
            raise ConfigurationError(f"{name} {what} since {where!r} was begun{_AGAIN}")


def _said(value: Any) -> str:
    if value is None:
        return "left out"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
