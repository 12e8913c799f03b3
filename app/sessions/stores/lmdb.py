"""Sessions in an LMDB directory: memory-mapped, transactional, shared by any number of processes.

A process may be killed at any instruction: a write transaction is in the file whole or not at all. All
processes must share one PID namespace, and a store must be opened after a fork, not before.
"""

from __future__ import annotations

import logging
import shutil
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import lmdb
from lmdb.verify import VerifyError, verify

from app.core.errors import ConfigurationError, StoreDamaged, StoreUnavailable
from app.sessions.stores import lmdb_tables as tables
from app.sessions.stores.file_lock import FileLock
from app.sessions.stores.lmdb_tables import Tables, Transaction
from app.sessions.stores.store import Snapshot, Stored, Write, Written

logger = logging.getLogger(__name__)

DATA_FILE = "data.mdb"
_MAP_BYTES = 1 << 30
_MAX_GROWTH_BYTES = 16 << 30
_MAX_READERS = 1024
# Readers that died keep old pages from being used again; the file would grow.
_READER_CHECK_S = 30.0
# Records that one call of due() plans anew, so that it does not hold the writers up.
_MAX_REPLANS = 512
# Enough for a group that fills many doublings of a small map.
_MAX_TRIES = 32

_CURE = "stop the servers that use it and restore the folder from a copy, or move it away to begin anew"

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class LmdbStore:
    """A :class:`SessionStore` over a directory.

    Args:
        power_safe: each group is on the disk before it is acknowledged. Without, it is in the
            system's page cache: the death of any process loses nothing, that of the machine
            may lose the latest groups or damage the file.
        timeout_s: how long another process may keep a write from beginning.
        map_bytes: address space to begin with; it grows by doubling.
    """

    def __init__(
        self,
        path: Path,
        max_sessions: int,
        *,
        power_safe: bool = False,
        timeout_s: float = 4.0,
        map_bytes: int = _MAP_BYTES,
    ) -> None:
        self._path = path
        self._file = path / DATA_FILE
        self._max_sessions = max_sessions
        self._power_safe = power_safe
        self._map_bytes = map_bytes
        self._next_reader_check = 0.0
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Held wherever LMDB takes a mutex of its own: see FileLock.
            self._lock = FileLock(path / "writer.lock", timeout_s)
        except OSError as error:
            raise ConfigurationError(f"sessions cannot be kept in {str(path)!r}: {error}") from error
        is_new = not self._file.exists()
        try:
            self._open: tuple[lmdb.Environment, Tables] | None = self._open_environment()
        except (lmdb.Error, StoreDamaged, OSError) as error:
            self._lock.close()
            raise ConfigurationError(f"sessions cannot be kept in {str(path)!r}: {error}") from error
        self._identity = self._identify()
        if is_new:
            logger.info("a new session store begins in %s", path)

    def get(self, ids: Sequence[str]) -> list[Stored | None]:
        return self._run(False, tables.read, ids)

    def write(self, writes: Sequence[Write]) -> list[Written]:
        return self._run(True, tables.write, writes, self._max_sessions)

    def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]:
        return self._run(False, tables.page, after, limit)

    def snapshots(self, id: str) -> list[Snapshot]:
        return self._run(False, tables.snapshots, id)

    def snapshot(self, id: str, name: str) -> Snapshot | None:
        return self._run(False, tables.snapshot, id, name)

    def due(self, now: float, limit: int) -> list[tuple[str, Stored]]:
        """Takes the writers' lock only to plan some anew."""
        found, stale = self._run(False, tables.due, now, limit, _MAX_REPLANS)
        if stale:
            self._run(True, tables.replan, stale)
        return found

    def remove(self, ids: Sequence[tuple[str, int]]) -> None:
        self._run(True, tables.remove, ids)

    def count(self) -> int:
        return self._run(False, tables.count)

    def check(self) -> float:
        self.count()
        return time.time()

    def close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            try:
                opened[0].sync(True)
            except lmdb.Error as error:
                raise StoreUnavailable(f"the session store could not be synced: {error}") from error
            finally:
                opened[0].close()
                self._lock.close()

    def _open_environment(self) -> tuple[lmdb.Environment, Tables]:
        with self._lock:
            if self._file.exists() and self._file.stat().st_size == 0:
                raise StoreDamaged(f"{DATA_FILE} is empty; {_CURE}")
            env = lmdb.open(
                str(self._path),
                map_size=self._map_bytes,
                sync=self._power_safe,
                metasync=self._power_safe,
                # Rows are read at random; what the kernel would read ahead is other sessions'.
                readahead=False,
                max_readers=_MAX_READERS,
                max_dbs=len(tables.NAMES),
                max_spare_txns=1,
                mode=0o600,
            )
            try:
                self._check_size(env)
                env.reader_check()
                opened = self._patiently(env, lambda: Tables(*(env.open_db(name) for name in tables.NAMES)))
                env.begin().abort()  # takes a reader slot, and keeps it as the spare transaction
                return env, opened
            except BaseException:
                env.close()
                raise

    def _check_size(self, env: lmdb.Environment) -> None:
        """Raises StoreDamaged: whoever reads behind the end of a mapped file is killed (SIGBUS)."""
        size = self._file.stat().st_size
        whole = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        if size >= whole:
            return
        try:
            # Free pages at its end may never have been written.
            is_sound = not verify(str(self._path))  # type: ignore[no-untyped-call]  # lmdb left it untyped
        except VerifyError:
            is_sound = False
        if not is_sound:
            raise StoreDamaged(f"{DATA_FILE} is cut short, {size} of {whole} bytes; {_CURE}")

    def _identify(self) -> tuple[int, int] | None:
        """The file that has this name now."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _check_place(self) -> None:
        """Raises StoreUnavailable. A deleted file can still be written to, and nobody will ever read it."""
        if self._identify() != self._identity:
            raise StoreUnavailable(
                f"{DATA_FILE} was deleted or replaced in use; stop the servers that use it, put it back if "
                "you can, and start them again",
                retry_after_s=60.0,
            )

    def _is_full(self) -> bool:
        try:
            return shutil.disk_usage(self._path).free == 0
        except OSError:
            return False

    def _run(self, write: bool, work: Callable[[Transaction, Tables, *Ts], T], *args: *Ts) -> T:
        try:
            if self._open is None:
                self._check_place()
            env, db = self._open = self._open or self._open_environment()

            def transact() -> T:
                with env.begin(write=write, buffers=True) as txn:
                    return work(txn, db, *args)

            if not write:
                found = self._patiently(env, transact)
                self._check_place()
                return found
            with self._lock:
                if time.monotonic() >= self._next_reader_check:
                    self._next_reader_check = time.monotonic() + _READER_CHECK_S
                    env.reader_check()
                found = self._patiently(env, transact)
            self._check_place()
            return found
        except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, struct.error) as error:
            raise StoreDamaged(f"{DATA_FILE} is damaged: {error}; {_CURE}") from error
        except lmdb.Error as error:
            # Some errors leave the environment unusable; a new one is cheap.
            if self._open is not None:
                self._open[0].close()
                self._open = None
            why = f"{error} (the disk is full)" if self._is_full() else str(error)
            raise StoreUnavailable(f"the session store failed: {why}", retry_after_s=1.0) from error

    @staticmethod
    def _patiently(env: lmdb.Environment, transact: Callable[[], T]) -> T:
        """Transact, from the start again when the map or the table of readers was too small."""
        for _ in range(_MAX_TRIES):
            try:
                return transact()
            except lmdb.MapFullError:
                if env.reader_check() == 0:  # pages that a dead reader held are room too
                    size = env.info()["map_size"]
                    env.set_mapsize(size + min(size, _MAX_GROWTH_BYTES))
            except lmdb.MapResizedError:
                env.set_mapsize(0)  # another process grew it: take its size
            except lmdb.ReadersFullError:
                if not env.reader_check():
                    raise
        raise StoreUnavailable("the session store's map fills faster than it grows", retry_after_s=1.0)
