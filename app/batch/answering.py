"""One partition to its answers: the pure function of batch work, on a model in this process.

    Partition --read--> Rows --Batcher--> requests --InferenceService, Engine--> answers --Batcher--> columns

It is the path of a request of the server, behind the edge. Requests hold many sequences of like length, which
the engine gets as large blocks; a sequence has the same bits in any of them.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from app.batch.files import InputFile, open_rows
from app.batch.partition import Partition, Plan, read_partition
from app.batch.row_file import TELLING_ROWS, in_file
from app.core.errors import CallerError, DeadlineExceeded, InvalidInput, RnnserveError, RunFailed
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits
from app.engine.pair import EnginePair
from app.main import version
from app.registry.loading import read_placed, with_encoder
from app.runtime.executor import GraphExecutor
from app.runtime.session import GraphSession
from app.runtime.verify import open_encoder, verify_bundle
from app.service.catalog import Catalog, Deployment
from app.service.inference import InferenceService
from app.settings import Settings
from app.tasks.batch import Batcher, Item, Kind, Reject
from app.telemetry.metrics import Metrics

_ITEMS, _STEPS = 192, 100_000
"""Of one request: a few full runs of the engine, and too few to be worth another thread."""
_ROWS = 64
"""Of one run: enough to fill it, and few enough to stay in a core's cache."""
_TIMEOUT_S = 3600.0
# Nobody waits for a tick to end, and the queue holds one request.
_TICK_S, _TICK_STEPS = 60.0, 1 << 20
_QUEUE = QueueLimits(max_steps=2**40, max_sequences=2**31)


@dataclass(slots=True, eq=False)
class Answered:
    """Of a partition: ``columns`` of the answers, in the order of its sequences, whose ids are ``keys``."""

    columns: dict[str, list[Any]]
    num_rows: int
    num_items: int
    keys: list[str]
    rejects: list[Reject]


class Answerer:
    """A model, opened for one run of batch work; used by one thread.

    Raises:
        BundleError, DeviceUnavailable: as where a server loads the bundle in ``path``.
        InvalidInput: the options do not fit the model.
    """

    def __init__(self, settings: Settings, path: Path, options: Any) -> None:
        bundle = read_placed(path)
        task, model = settings.tasks.open(bundle)
        assert task.batch is not None
        session = GraphSession(bundle.graph, bundle.manifest, settings.device)
        encoder = open_encoder(bundle, settings.device)
        verify_bundle(bundle, session, encoder)
        limits = settings.limits.model_copy(update={"request_timeout_s": _TIMEOUT_S})
        scheduling = SchedulerLimits(
            max_batch=min(limits.max_batch, _ROWS),
            max_chunk=limits.max_chunk,
            max_tick_steps=_TICK_STEPS,
            max_tick_s=_TICK_S,
        )
        executor = GraphExecutor(session, bundle.start, scheduling.num_slots)
        reference = bundle.manifest.reference
        engine = Engine(reference, executor, scheduling, _QUEUE, on_loop=True)
        self._engine: Engine | EnginePair = engine
        if encoder is not None:
            self._engine = with_encoder(engine, encoder, _QUEUE, lambda name: lambda stats: None)
        self._service = InferenceService(limits, Metrics(None, version()))
        self._service.serve(
            Catalog([Deployment(bundle.manifest, task, model, self._engine)], {task.name: reference})
        )
        self._task = task
        self._batcher: Batcher = task.batch.open(model, options)
        self._runner = asyncio.Runner()
        self._runner.run(self._start())

    @property
    def kinds(self) -> dict[str, Kind]:
        """The columns of the answers."""
        return dict(self._batcher.columns)

    def plan(self, file: InputFile, size: int, encoding: str) -> Plan:
        """Decide for a file from its first part; raises as :func:`app.batch.files.open_rows`."""
        rows_file = open_rows(file, size, encoding)
        try:
            cut = next(rows_file.cuts(), None)
            if cut is None:
                raise InvalidInput("body", "the file has a header but no rows")
            rows, broken = rows_file.read(cut.first, cut.last, cut.line)
            if not len(rows):
                raise InvalidInput(
                    "body", f"line {broken[0].line}: {broken[0].reason}" if broken else "no rows"
                )
            layout = self._batcher.layout(rows.between(0, TELLING_ROWS), file.name)
            key = list(self._batcher.key(layout))
        except InvalidInput as error:
            raise in_file(file.name, error) from error
        return Plan(file, size, encoding, rows_file.dialect, layout, key)

    def answer(self, partition: Partition) -> Answered:
        """Answer what is in a partition; raises RnnserveError where the run cannot go on."""
        # Hundreds of thousands of small objects live until the end: looking through them again and again
        # takes a third of the time.
        gc.disable()
        try:
            return self._answered(partition)
        finally:
            gc.enable()

    def _answered(self, partition: Partition) -> Answered:
        plan = partition.plan
        try:
            rows, rejects = read_partition(partition)
            items, bad = self._batcher.items(rows, plan.layout) if len(rows) else ([], [])
        except InvalidInput as error:
            raise in_file(plan.file.name, error) from error
        found = Answered({name: [] for name in self.kinds}, 0, 0, [], [*rejects, *bad])
        counts: list[int] = []
        order: list[Item] = []
        for request in _requests(items):
            self._runner.run(self._ask(request, plan, found, order, counts))
        _in_order(found, items, order, counts)
        found.rejects.sort(key=lambda reject: reject.line)
        found.keys = [item.id for item in items if item.id is not None] if plan.key else []
        found.num_items, found.num_rows = len(order), sum(counts)
        return found

    def close(self) -> None:
        self._engine.close()
        self._runner.close()

    async def _start(self) -> None:
        self._engine.start(asyncio.get_running_loop())

    async def _ask(
        self, items: Sequence[Item], plan: Plan, found: Answered, order: list[Item], counts: list[int]
    ) -> None:
        """Ask for all at once; of a request that is refused each half, down to the item that is wrong."""
        try:
            request = self._batcher.request(items, plan.layout)
            answer, _ = await self._service.answer(self._task, request)
        except (CallerError, RunFailed) as error:
            if len(items) == 1:
                found.rejects.append(Reject(items[0].line, items[0].id, error.message))
                return
            middle = len(items) // 2
            for half in (items[:middle], items[middle:]):
                await self._ask(half, plan, found, order, counts)
            return
        except DeadlineExceeded as error:
            raise RnnserveError(f"{error.message}; take smaller parts with --part-mb") from error
        counts += self._batcher.rows(items, answer, found.columns)
        order += items


def _requests(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Items of like size together, within the bounds of a request."""
    ordered = sorted(items, key=lambda item: item.size)
    for _, same in groupby(ordered, key=lambda item: item.size.bit_length()):
        request: list[Item] = []
        steps = 0
        for item in same:
            if request and (len(request) == _ITEMS or steps + item.size > _STEPS):
                yield request
                request, steps = [], 0
            request.append(item)
            steps += item.size
        yield request


def _in_order(found: Answered, items: Sequence[Item], order: Sequence[Item], counts: Sequence[int]) -> None:
    """Bring the answers into the order of the items; they stand in that in which they were asked for."""
    if len(order) == len(items) and all(one is other for one, other in zip(items, order, strict=True)):
        return
    places = {id(item): place for place, item in enumerate(items)}
    firsts, first = [], 0
    for item, count in zip(order, counts, strict=True):
        firsts.append((places[id(item)], first, first + count))
        first += count
    firsts.sort()
    rows = [row for _, begin, end in firsts for row in range(begin, end)]
    for name, values in found.columns.items():
        found.columns[name] = [values[row] for row in rows]
