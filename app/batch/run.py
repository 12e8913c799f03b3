"""A run: cut the input, have the parts answered that are not done, and show the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

import numpy as np

from app.batch.cluster import Cluster
from app.batch.files import InputFile, open_rows
from app.batch.output import Note, Output
from app.batch.partition import Partition
from app.batch.workers import LOOK_S, Failure, Workers
from app.core.errors import InvalidInput, RnnserveError
from app.tasks.batch import Reject

# Of each process, one that it works on and one that waits.
_AHEAD = 2
_DIGEST = 8


@dataclass(slots=True)
class Done:
    """What a run has done so far, earlier runs of it included; ``share`` of the input, from 0 to 1."""

    share: float = 0.0
    items: int = 0
    rows: int = 0
    kept: int = 0
    """Parts of earlier runs, with their ``kept_items`` and ``kept_share``."""
    kept_items: int = 0
    kept_share: float = 0.0
    rejects: list[tuple[str, Reject]] = field(default_factory=list)


class Run:
    """``tell`` is called now and then, with what is done."""

    def __init__(
        self,
        files: Sequence[InputFile],
        output: Output,
        workers: Workers | Cluster,
        *,
        size: int,
        encoding: str,
        skip_bad: bool,
        tell: Callable[[Done], None],
    ) -> None:
        self._files = files
        self._output = output
        self._workers = workers
        self._size = size
        self._encoding = encoding
        self._skip_bad = skip_bad
        self._tell = tell
        self._total = sum(file.size for file in files) or 1
        self._shares: list[float] = []
        self._places: list[tuple[str, int]] = []
        self.done = Done()

    def finish(self) -> Done:
        """Do what is left.

        Raises:
            RnnserveError: something cannot be answered and is not to be skipped, or the run cannot go on.
                What is done stays.
        """
        running: dict[Future[Note | Failure], int] = {}
        for partition in self._partitions():
            if (note := self._output.note(partition.number)) is not None:
                self.done.kept += 1
                self.done.kept_items += note.num_items
                self.done.kept_share += self._shares[partition.number]
                self._book(partition.number, note)
                continue
            while len(running) >= _AHEAD * self._workers.num:
                self._collect(running)
            running[self._workers.answer(partition)] = partition.number
        while running:
            self._collect(running)
        self._check_parts()
        self._check_keys()
        done = self.done
        if done.rejects and not self._skip_bad:
            raise RnnserveError(self._refusal())
        if not done.items:
            raise RnnserveError(
                f"nothing could be answered: {_said(*done.rejects[0])}"
                if done.rejects
                else "there are no rows"
            )
        self._output.finish(len(self._places), sorted(done.rejects, key=lambda each: (each[0], each[1].line)))
        return done

    def _partitions(self) -> Iterator[Partition]:
        """In the order of their numbers. A file that cannot be read at all is one reject."""
        for file in self._files:
            try:
                plan = self._workers.plan(file, self._size, self._encoding)
                rows = open_rows(file, self._size, self._encoding, plan.dialect)
                for cut in rows.cuts():
                    number = len(self._places)
                    self._places.append((file.name, cut.line))
                    self._shares.append((cut.last - cut.first) / rows.length * file.size / self._total)
                    yield Partition(number, plan, cut)
            except InvalidInput as error:
                message = error.message.removeprefix(f"{file.name}: ")
                self.done.rejects.append((file.name, Reject(0, None, message)))
                self.done.share += file.size / self._total

    def _collect(self, running: dict[Future[Note | Failure], int]) -> None:
        """Wait for one or more of the parts."""
        finished, _ = wait(running, timeout=LOOK_S, return_when=FIRST_COMPLETED)
        if not finished:
            self._workers.check()
        for future in finished:
            number = running.pop(future)
            said = self._workers.result(future)
            if isinstance(said, Failure):
                raise RnnserveError(said.message)
            self._book(number, said)
            if said.rejects and not said.num_items and not self._skip_bad:
                raise RnnserveError(self._refusal())
        self._tell(self.done)

    def _book(self, number: int, note: Note) -> None:
        done = self.done
        done.share += self._shares[number]
        done.items += note.num_items
        done.rows += note.num_rows
        done.rejects += [(self._places[number][0], reject) for reject in note.rejects]

    def _refusal(self) -> str:
        rejects = self.done.rejects
        first = min(rejects, key=lambda each: (each[0], each[1].line))
        more = f", and {len(rejects) - 1} more like it" if len(rejects) > 1 else ""
        if not self.done.items:
            return f"{_said(*first)}{more}"
        return (
            f"{_said(*first)}{more}. What is done is kept: run again with --skip-bad to leave out what is "
            "bad, or correct the input and run again with --restart"
        )

    def _check_parts(self) -> None:
        """That none has gone since, as where another run of a bucket joins them; raises RnnserveError."""
        count, folder = len(self._places), str(self._output.folder)
        if gone := sum(self._output.note(number) is None for number in range(count)):
            raise RnnserveError(
                f"{gone} of {count} parts in {folder!r} have gone since, as where another run has ended; "
                "the same command goes on from what is left"
            )

    def _check_keys(self) -> None:
        """That no sequence stands in two places; raises RnnserveError."""
        if len(self._places) < 2:
            return
        digests = [
            np.array([_digest(key) for key in self._output.keys(number)], np.uint64)
            for number in range(len(self._places))
        ]
        values, counts = np.unique(np.concatenate(digests), return_counts=True)
        twice = values[counts > 1]
        if not len(twice):
            return
        seen: dict[str, int] = {}
        for number, part in enumerate(digests):
            if not np.isin(part, twice).any():
                continue
            for key in self._output.keys(number):
                if key in seen:
                    raise RnnserveError(self._apart(key, self._places[seen[key]], self._places[number]))
                seen[key] = number

    def _apart(self, key: str, one: tuple[str, int], other: tuple[str, int]) -> str:
        if one[0] != other[0]:
            return (
                f"{key!r} is in {one[0]} and in {other[0]}; put all its rows into one file, or give the two "
                "other names, and run again with --restart"
            )
        return (
            f"{one[0]}: rows of {key!r} do not lie together, some stand behind line {one[1]} and others "
            f"behind line {other[1]}; sort the file by what tells its sequences apart, and run again with "
            "--restart"
        )


def _said(name: str, reject: Reject) -> str:
    of = "" if reject.id is None else f", {reject.id!r}"
    where = f", line {reject.line}" if reject.line else ""
    return f"{name}{where}{of}: {reject.reason}"


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest())
