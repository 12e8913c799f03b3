"""What encoders made of whole inputs: made once, shared, and bounded in bytes over all models of a process.

    sources --lease--> kept, or a block for each length --engine.submit_encode--> encoded

What nobody uses is kept until others need the room, the least recently used going first.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import numpy as np

from app.bundle.manifest import EncoderSpec
from app.core.errors import CapacityError, Overloaded, RnnserveError, over_limit
from app.core.sequence import BlockRequest, BlockResult, Encoded, Read, Source, Usage
from app.service.catalog import Deployment

_OVERHEAD_BYTES = 1024
"""About what an entry takes beside its arrays."""
_MULTIPLE = 4
"""Tokens are padded to lengths of it, so that inputs of nearly one length share a run."""

_Key = tuple[str, bytes]


class _Entry:
    """A source: being encoded until ``encoded`` is there.

    Attributes:
        waiting: gets the error, or ``None``.
        work: of the engine; of all sources of one block.
        uses: leases that hold it.
    """

    __slots__ = ("encoded", "key", "mates", "size", "usage", "uses", "waiting", "work")

    def __init__(self, key: _Key, size: int) -> None:
        self.key, self.size, self.uses = key, size, 0
        self.encoded: Encoded | None = None
        self.usage = Usage()
        self.waiting: asyncio.Future[RnnserveError | None] = asyncio.get_running_loop().create_future()
        self.work: asyncio.Future[BlockResult] | None = None
        self.mates: Sequence[_Entry] = ()


class Lease:
    """Encoded sources, in their order, which stay in memory until it is closed."""

    __slots__ = ("_entries", "_owner", "encoded", "usage")

    def __init__(self, owner: EncodedSources) -> None:
        self._owner = owner
        self._entries: list[_Entry] = []
        self.encoded: list[Encoded] = []
        self.usage = Usage()
        """Of what was encoded for this one; nothing where all was there."""

    def close(self) -> None:
        """Harmless when it is closed."""
        entries, self._entries = self._entries, []
        for entry in entries:
            self._owner._release(entry)


class EncodedSources:
    """Used on one event loop only."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self.held_bytes = 0

    async def lease(self, deployment: Deployment, sources: Sequence[Source], deadline: float) -> Lease:
        """Have sources encoded by a model that is in memory.

        Raises:
            InvalidInput: they would take more memory than there may be for all.
            Overloaded: others that are in use leave too little, or the encoder's queue is full.
            RnnserveError: a run failed, or did not come in time.
        """
        spec = deployment.manifest.encoder
        if spec is None:
            raise AssertionError("sources are for a model with an encoder. This is a bug.")
        sizes = [_size(source, spec, deployment.manifest.row.size) for source in sources]
        if sum(sizes) > self._max_bytes:
            text = f"what an encoder makes of it takes {sum(sizes):,} bytes, and --max-attended-bytes is less"
            raise over_limit("body", self._max_bytes, text)
        lease = Lease(self)
        try:
            await self._fill(lease, deployment, spec, list(zip(sources, sizes, strict=True)), deadline)
        except BaseException:
            lease.close()
            raise
        return lease

    async def _fill(
        self,
        lease: Lease,
        deployment: Deployment,
        spec: EncoderSpec,
        sized: Sequence[tuple[Source, int]],
        deadline: float,
    ) -> None:
        keys = [(deployment.networks, _digest(source)) for source, _ in sized]
        while True:
            new: dict[_Key, tuple[_Entry, Source]] = {}
            for key, (source, size) in zip(keys, sized, strict=True):
                entry = self._entries.get(key)
                if entry is None:
                    self._make_room(size)
                    entry = self._entries[key] = _Entry(key, size)
                    self.held_bytes += size
                    new[key] = entry, source
                entry.uses += 1
                self._entries.move_to_end(key)
                lease._entries.append(entry)
            self._submit(deployment, spec, list(new.values()), deadline)
            again = False
            for entry in lease._entries:
                error = None if entry.encoded is not None else await asyncio.shield(entry.waiting)
                if error is None:
                    continue
                # What another request's deadline or limit has ended is begun once more for this one.
                if entry.key in new or not isinstance(error, CapacityError):
                    raise error
                again = True
            if not again:
                break
            lease.close()
        for entry in lease._entries:
            assert entry.encoded is not None
            lease.encoded.append(entry.encoded)
            if entry.key in new:
                lease.usage = entry.usage

    def _make_room(self, size: int) -> None:
        while self.held_bytes + size > self._max_bytes:
            idle = next((entry for entry in self._entries.values() if not entry.uses), None)
            if idle is None:
                raise Overloaded("what is attended to takes all of --max-attended-bytes; try again later")
            self._drop(idle)

    def _submit(
        self, deployment: Deployment, spec: EncoderSpec, new: Sequence[tuple[_Entry, Source]], deadline: float
    ) -> None:
        by_length: dict[int, list[tuple[_Entry, Source]]] = {}
        for entry, source in new:
            by_length.setdefault(_padded_length(source, spec), []).append((entry, source))
        for length, members in by_length.items():
            entries = [entry for entry, _ in members]
            block = _block([source for _, source in members], spec, length)
            work = deployment.engine.submit_encode(block, deadline)
            for entry in entries:
                entry.work, entry.mates = work, entries
            lengths = None if block.lengths is None else block.lengths.tolist()
            work.add_done_callback(partial(self._arrived, entries, lengths))

    def _arrived(
        self, entries: Sequence[_Entry], lengths: Sequence[int] | None, work: asyncio.Future[BlockResult]
    ) -> None:
        failure: RnnserveError | None = None
        if work.cancelled():
            failure = Overloaded("it was given up")
        elif (raised := work.exception()) is not None:
            if not isinstance(raised, RnnserveError):
                raise raised
            failure = raised
        for row, entry in enumerate(entries):
            entry.work, entry.mates = None, ()
            error = failure
            if error is None:
                result = work.result()
                error = result.errors.get(row)
                if error is None:
                    length = None if lengths is None else lengths[row]
                    # Copies: a view would keep what was made of all inputs of the run.
                    attended = result.outputs[0][row, :length].copy() if result.outputs else None
                    entry.encoded, entry.usage = Encoded(result.rows[row].copy(), attended), result.usage
            if error is not None:
                self._drop(entry)
            entry.waiting.set_result(error)

    def _release(self, entry: _Entry) -> None:
        entry.uses -= 1
        if entry.uses or entry.encoded is not None:
            return
        if entry.work is None:  # it was never handed in, or has failed
            self._drop(entry)
        elif not any(mate.uses for mate in entry.mates):
            for mate in entry.mates:
                self._drop(mate)
            entry.work.cancel()

    def _drop(self, entry: _Entry) -> None:
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self.held_bytes -= entry.size


def _size(source: Source, spec: EncoderSpec, row_size: int) -> int:
    attended = 0 if spec.attended is None else spec.attended.num_bytes(len(source))
    return attended + 4 * row_size + _OVERHEAD_BYTES


def _digest(source: Source) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(source).data, digest_size=16).digest()


def _padded_length(source: Source, spec: EncoderSpec) -> int:
    return 1 if spec.max_length is None else -(-len(source) // _MULTIPLE) * _MULTIPLE


def _block(sources: Sequence[Source], spec: EncoderSpec, length: int) -> BlockRequest:
    if spec.max_length is None:
        return BlockRequest(np.stack(sources)[:, None], Read.ALL)
    lengths = np.array([len(source) for source in sources], np.int64)
    steps = np.zeros((len(sources), length), np.int64)
    for row, source in enumerate(sources):
        steps[row, : len(source)] = source
    return BlockRequest(steps, Read.ALL, lengths=lengths)
