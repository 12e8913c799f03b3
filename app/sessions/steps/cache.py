"""Records that this process has just read or written, so that the next step need not read them again.

What is kept may be out of date: another process may have written since. So it may only be built
upon where a compare-and-set on its revision follows; whoever answers without writing reads the
store. A revision is never used twice for an id (see ``first_revision``).
"""

from __future__ import annotations

from collections import OrderedDict

from app.sessions.record import SessionRecord

_OVERHEAD_BYTES = 2048
"""About what a record takes beside its arrays and its answer."""


class RecordCache:
    """The most recently used records, bounded in bytes. Used on one event loop only.

    Args:
        max_bytes: of all records, about; 0 keeps none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._records: OrderedDict[str, tuple[SessionRecord, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def get(self, key: str) -> SessionRecord | None:
        """The record that was last put under a key, if it is still here."""
        found = self._records.get(key)
        if found is None:
            return None
        self._records.move_to_end(key)
        return found[0]

    def put(self, key: str, record: SessionRecord) -> None:
        """Keep a record instead of an older one, and forget those that were not used for longest."""
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
        """Forget a record, if it is here."""
        old = self._records.pop(key, None)
        if old is not None:
            self._bytes -= old[1]
