"""Records that this process has just read or written, so that the next step need not read them again."""

from __future__ import annotations

from collections import OrderedDict

from app.sessions.record import SessionRecord

_OVERHEAD_BYTES = 2048
"""About what a record takes beside its arrays and its answer."""


class RecordCache:
    """The most recently used records, bounded in bytes (0 keeps none). Used on one event loop only.

    They may be out of date: another process may have written since. So a cached record may only be built
    upon where a compare-and-set on its revision follows; whoever answers without writing reads the store.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._records: OrderedDict[str, tuple[SessionRecord, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> SessionRecord | None:
        found = self._records.get(key)
        if found is None:
            return None
        self._records.move_to_end(key)
        return found[0]

    def put(self, key: str, record: SessionRecord) -> None:
        size = record.row.nbytes + _OVERHEAD_BYTES
        size += 0 if record.last is None else record.last.nbytes
        size += 0 if record.call is None else len(record.call.answer)
        old = self._records.pop(key, None)
        if old is not None:
            self._bytes -= old[1]
        if size > self._max_bytes:
            return
        self._records[key] = (record, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, (_, dropped) = self._records.popitem(last=False)
            self._bytes -= dropped

    def drop(self, key: str) -> None:
        old = self._records.pop(key, None)
        if old is not None:
            self._bytes -= old[1]
