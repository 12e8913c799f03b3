"""Notices that Redis has gone back in time, by what its clients remember of it.

Redis knows the greatest revision that was written to it, and what that was when its present process began to
serve. Each client knows the greatest that it was ever told of. So one that meets a new process of Redis and
remembers more than that one has can tell that writes are lost; from which revision on is then kept in Redis,
for all clients.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import redis

from app.sessions.stores.redis_scripts import ARRIVE

logger = logging.getLogger(__name__)


class RedisMemory:
    """What one client remembers of Redis.

    Args:
        place: for the log.
        mark, settling: keys, see ``redis_scripts``.
        settle_s: how long a new process of Redis waits for its other clients to say what they remember.
    """

    def __init__(self, place: str, mark: str, settling: str, settle_s: float) -> None:
        self._place = place
        self._keys = (mark, settling)
        self._settle_ms = int(settle_s * 1000)
        self._run_id: bytes | None = None
        self._seen = 0

    def note(self, revision: int) -> None:
        """Redis has said that it holds this revision."""
        self._seen = max(self._seen, revision)

    def arrive(self, connection: Any) -> None:
        """On each new connection, before anything else is asked.

        A Redis that does not allow it is served without.
        """
        connection.on_connect()
        with contextlib.suppress(redis.ResponseError):
            run_id = _run_id(_ask(connection, "INFO", "server"))
            if run_id in (b"", self._run_id):
                return
            if _ask(connection, "EVAL", ARRIVE, 2, *self._keys, run_id, self._seen, self._settle_ms):
                logger.error(
                    "Redis at %s has gone back in time: writes that it acknowledged are lost; the first step "
                    "without seq of each session that may have lost some is told so",
                    self._place,
                )
            self._run_id = run_id


def _ask(connection: Any, *command: str | bytes | int) -> Any:
    connection.send_command(*command)
    return connection.read_response()


def _run_id(info: bytes) -> bytes:
    lines = (line.partition(b":") for line in info.splitlines())
    return next((value for name, _, value in lines if name == b"run_id"), b"")
