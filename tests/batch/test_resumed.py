"""A run that is killed goes on from what is done, and ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from app.batch.output import Output
from tests.batch.conftest import Batch, daily

WORDS = ("--horizon", "6", "--part-mb", "0.05")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """Process ids of its processes, and of theirs."""
    own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*own, *(child for one in own for child in children(one))]


def wait_for_some(parts: Path, process: subprocess.Popen[str]) -> None:
    """Until a few parts are done, and not all."""
    until = time.monotonic() + 60
    while len(list(parts.glob("_part-*.json"))) < 3:
        assert time.monotonic() < until
        if process.poll() is not None:
            assert process.returncode == 0, process.communicate()
            return
        time.sleep(0.002)


def begun_and_killed(batch: Batch, given: Path, name: str) -> tuple[Path, list[int]]:
    """An output that a run was killed at in the middle, and the run's processes.

    On a busy machine a run may end before this process is given the time to kill it; then another is begun.
    """
    for attempt in range(10):
        out = batch.folder / f"{attempt}-{name}"
        parts = out if name == "folder" else batch.folder / f".{out.name}.parts"
        process = batch.begin("forecast", given, out, "--workers", "2", *WORDS)
        wait_for_some(parts, process)
        with contextlib.suppress(FileNotFoundError):
            workers = children(process.pid)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            end = out / "_SUCCESS" if name == "folder" else out
            if process.returncode == -signal.SIGKILL and not end.exists():
                return out, workers
    raise AssertionError("each run ended before it was killed")


@pytest.mark.parametrize("name", ["o.csv", "folder"])
def test_a_killed_run_is_resumed(batch: Batch, name: str) -> None:
    """``kill -9`` in the middle: its processes end with it, and no part that is done is done again."""
    given = batch.write("big.csv", daily([f"s{number}" for number in range(4000)]))
    whole = batch.folder / "whole.csv"
    assert batch("forecast", given, whole, *WORDS) == 0, batch.said
    out, workers = begun_and_killed(batch, given, name)
    parts = out if name == "folder" else batch.folder / f".{out.name}.parts"
    until = time.monotonic() + 60
    while any(map(alive, workers)):
        assert time.monotonic() < until, "a process outlived its parent"
        time.sleep(0.01)
    assert not (out / "_SUCCESS").exists() if name == "folder" else not out.exists()
    notes = list(parts.glob("_part-*.json"))
    before = {note: note.stat().st_mtime_ns for note in notes}
    # A part without a note is not done: the kill fell between the two.
    written = [next(parts.glob(f"{note.stem[1:]}.*")).stat() for note in notes]
    assert len(notes) >= 3
    assert batch("forecast", given, out, *WORDS) == 0, batch.said
    assert f"{len(before)} parts were done before" in batch.said
    if name == "folder":
        found = sorted(out.glob("part-*"))
        assert {stat.st_ino for stat in written} <= {part.stat().st_ino for part in found}
        header, *rest = (part.read_text().partition("\n") for part in found)
        assert (
            "".join(["\n".join([header[0], header[2]]), *(text for _, _, text in rest)]) == whole.read_text()
        )
    else:
        assert out.read_bytes() == whole.read_bytes()
        assert not parts.exists()


def test_a_part_that_lost_bytes_is_done_again(batch: Batch) -> None:
    """As where the machine lost its power; a half-written one of a process that was killed is no part."""
    given = batch.write("a.csv", daily([*"abcdef", "bad"]).replace("bad,2024-01-04,", "bad,2024-01-04,x"))
    whole, out = batch.folder / "whole.csv", batch.folder / "o.csv"
    words = ("--horizon", 2, "--part-mb", "0.001")
    assert batch("forecast", given, whole, *words, "--skip-bad") == 0, batch.said
    assert batch("forecast", given, out, *words) == 2
    parts = sorted((batch.folder / ".o.csv.parts").glob("part-*"))
    assert len(parts) > 2
    parts[1].write_bytes(parts[1].read_bytes()[:-5])
    (parts[0].parent / "_tmp-1-part-00009.csv").write_text("half")
    assert batch("forecast", given, out, *words, "--skip-bad") == 0, batch.said
    assert out.read_bytes() == whole.read_bytes()


def test_parts_that_have_gone_are_not_left_out_in_silence(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a run that no lock keeps away has joined them; the next one makes them again."""
    given = batch.write("a.csv", daily([*"abcdefgh"]))
    whole, out = batch.folder / "whole.csv", batch.folder / "o.csv"
    words = ("--horizon", 2, "--part-mb", "0.001")
    assert batch("forecast", given, whole, *words) == 0, batch.said
    write = Output.write

    def lose(self: Output, number: int, *rest: Any) -> None:
        write(self, number, *rest)
        if number == 2:
            self.part(0).unlink()
            (self.folder / "_part-00001.json").unlink()

    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", lose)
        assert batch("forecast", given, out, *words) == 2
    (line,) = batch.said.splitlines()
    assert "2 of " in line
    assert "have gone since" in line
    assert not out.exists()
    assert batch("forecast", given, out, *words) == 0, batch.said
    assert out.read_bytes() == whole.read_bytes()


def test_only_the_same_run_goes_on(batch: Batch) -> None:
    """Another input, option or part is refused with a sentence that names it; --restart begins anew."""
    text = daily([*"abcdef"]).replace("f,2024-01-04,", "f,2024-01-04,x")
    given, out = batch.write("a.csv", text), batch.folder / "o.csv"
    words = ("--part-mb", "0.001")
    assert batch("forecast", given, out, *words, "--horizon", 2) == 2
    assert batch("forecast", given, out, *words, "--horizon", 3) == 2
    assert f"'{out}' was begun with --horizon 2, not 3; --restart begins anew" in batch.said
    assert batch("forecast", given, out, *words, "--horizon", 2, "--levels", 50) == 2
    assert "was begun with --levels left out, not 50" in batch.said
    assert batch("forecast", given, out, "--horizon", 2) == 2
    assert "was begun with --part-mb 0.001, not 4.0" in batch.said
    assert batch("sentiment", given, out, *words) == 2
    assert "was begun by the task forecast, not sentiment" in batch.said
    batch.write("a.csv", text.replace("f,2024-01-04,x", "f,2024-01-04,"))
    assert batch("forecast", given, out, *words, "--horizon", 2) == 2
    assert "a.csv has changed since" in batch.said
    assert batch("forecast", given, out, *words, "--horizon", 2, "--restart") == 0, batch.said
    assert batch("forecast", given, out, *words, "--horizon", 2) == 2
    assert "is there already; name another --out, or give --restart" in batch.said


def test_one_run_writes_an_output_at_a_time(batch: Batch) -> None:
    """And a folder with other files in it is none."""
    given = batch.write("big.csv", daily([f"s{number}" for number in range(1500)]))
    out = batch.folder / "o"
    process = batch.begin("forecast", given, out, "--workers", "1", *WORDS)
    until = time.monotonic() + 60
    while not (out / "_job.json").exists():
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)  # so that it does not end before the other has tried
    assert json.loads((out / "_job.json").read_text())["input"]["big.csv"][0] == given.stat().st_size
    assert batch("forecast", given, out, *WORDS) == 2
    assert "another run is writing" in batch.said
    assert batch("forecast", given, out, *WORDS, "--restart") == 2
    assert "another run is writing" in batch.said
    assert (out / "_job.json").exists(), "what the other run has done is its own"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip().splitlines() == ["rnnserve: stopped; the same command goes on from what is done"]
    batch.write("other/mine.csv", "x")
    assert batch("forecast", given, batch.folder / "other", *WORDS) == 2
    assert "holds 'mine.csv'; name an empty one" in batch.said
