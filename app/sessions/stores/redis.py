"""Sessions in Redis or Valkey, for servers on several machines.

Needs Redis 6.2 or Valkey, ``maxmemory-policy noeviction``; how much of what was acknowledged a crash of Redis
itself may lose is set there, and said in the log (``redis_promise``).

Everything that is sent may be sent again: a change that names a revision is applied once however often it
arrives.
"""

from __future__ import annotations

import hashlib
import logging
import random
import struct
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError
from redis.retry import Retry

from app.core.errors import ConfigurationError, StoreUnavailable
from app.sessions.stores.redis_memory import RedisMemory
from app.sessions.stores.redis_nodes import Cluster, RedisNodes
from app.sessions.stores.redis_promise import promises
from app.sessions.stores.redis_scripts import DUE, LIST, REMOVE, SNAPSHOTS, WRITE
from app.sessions.stores.store import (
    Snapshot,
    Stored,
    Write,
    Written,
    by_age,
    pack_record,
    pack_snapshot,
    unpack_record,
    unpack_snapshot,
)

logger = logging.getLogger(__name__)

DEFAULT_PREFIX = "rnnserve:"
_REVISION = struct.Struct(">Q")
_SHA = {script: hashlib.sha1(script.encode()).hexdigest() for script in (WRITE, REMOVE, LIST, DUE, SNAPSHOTS)}
# Changes in one run of the script: between two runs Redis serves other clients.
_MAX_PER_SCRIPT = 64
_MAX_REPLANS = 512
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_MOST_MOVES = 16
# While slots move, or a replica takes a place.
_MOVING = (AskError, TryAgainError, ClusterDownError)

Command = Sequence[str | bytes | int | float]


class RedisStore:
    """A :class:`SessionStore` over a connection that is made when first used.

    A broken connection is made anew and the call repeated, with growing pauses, for ``timeout_s``. While the
    server stays away each further call tries once, so that callers are told at once. ``power_safe`` waits
    until Redis has synced its append-only file (``WAITAOF``, Redis 7.2).

    Of a ``cluster`` this store is in the slot of ``prefix``.
    """

    def __init__(
        self,
        url: str,
        max_sessions: int,
        *,
        power_safe: bool = False,
        timeout_s: float = 4.0,
        settle_s: float = 3.0,
        cluster: Cluster | None = None,
    ) -> None:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        self._prefix = options.pop("prefix", DEFAULT_PREFIX)
        self._max_sessions = max_sessions
        self._power_safe = power_safe
        self._timeout_s = timeout_s
        self._down = False
        self._run_id: str | None = None
        self._mark, self._settling = f"{self._prefix}mark", f"{self._prefix}settling"
        try:
            self._place = f"{parts.hostname or ''}:{parts.port or 6379}{parts.path}"
            if cluster is not None:
                self._place = f"{','.join(cluster.nodes)} (keys {self._prefix}*)"
            self._memory = RedisMemory(self._place, self._mark, self._settling, settle_s)
            user, at, host = parts.netloc.rpartition("@")
            self._cluster = cluster

            def connect(node: str) -> redis.Redis:
                address = parts._replace(netloc=f"{user}{at}{node}", query=urlencode(options))
                return redis.Redis.from_url(
                    urlunsplit(address),
                    protocol=2,
                    retry=Retry(NoBackoff(), 0),
                    redis_connect_func=self._memory.arrive,
                    **{"socket_timeout": timeout_s / 2, "socket_connect_timeout": timeout_s / 2},
                )

            self._nodes = RedisNodes(connect, cluster.nodes if cluster else [host])
            self._nodes.client.connection_pool.make_connection()  # it refuses options it does not know
        except (ValueError, TypeError, AttributeError, redis.RedisError) as error:
            raise ConfigurationError(f"the address of the session store cannot be used: {error}") from error
        self._live = f"{self._prefix}live"
        self._plan = f"{self._prefix}plan"

    def get(self, ids: Sequence[str]) -> list[Stored | None]:
        if not ids:
            return []
        (values,) = self._send([("MGET", *(self._record(id) for id in ids))])
        return [None if value is None else unpack_record(value)[0] for value in values]

    def write(self, writes: Sequence[Write]) -> list[Written]:
        if not writes:
            return []
        commands = [
            self._write_command(writes[first : first + _MAX_PER_SCRIPT])
            for first in range(0, len(writes), _MAX_PER_SCRIPT)
        ]
        if self._power_safe:
            commands.append(("WAITAOF", 1, 0, int(self._timeout_s * 500)))
        answers = self._send(commands)
        if self._power_safe and answers.pop()[0] < 1:
            raise StoreUnavailable("Redis did not sync its append-only file in time", retry_after_s=1.0)
        written = [_written(*outcome) for answer in answers for outcome in answer]
        for write, outcome in zip(writes, written, strict=True):
            if outcome.ok:
                self._memory.note(write.stored.revision)
        return written

    def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]:
        first = b"(" + after.encode() if after else b"-"
        return self._ask_pairs(LIST, self._live, first, limit, self._record(""))

    def snapshots(self, id: str) -> list[Snapshot]:
        (answer,) = self._send([self._script(SNAPSHOTS, [self._kept(id)])])
        return by_age(
            unpack_snapshot(name.decode(), head, with_record=False) for name, head in _pairs(answer)
        )

    def snapshot(self, id: str, name: str) -> Snapshot | None:
        (value,) = self._send([("HGET", self._kept(id), name)])
        return None if value is None else unpack_snapshot(name, value, with_record=True)

    def due(self, now: float, limit: int) -> list[tuple[str, Stored]]:
        return self._ask_pairs(DUE, self._plan, repr(now), limit, _MAX_REPLANS, self._record(""))

    def remove(self, ids: Sequence[tuple[str, int]]) -> None:
        keys: list[str] = [self._live, self._plan]
        arguments: list[str | bytes] = []
        for id, revision in ids:
            keys += [self._record(id), self._kept(id)]
            arguments += [id, _REVISION.pack(revision)]
        if ids:
            self._send([self._script(REMOVE, keys, *arguments)])

    def count(self) -> int:
        (count,) = self._send([("ZCARD", self._live)])
        return int(count)

    def check(self) -> float:
        """Also says in the log what the server promises, when it is met first and when it is another one."""
        asked: list[Command] = [("PING",), ("TIME",), ("INFO", "server"), ("HGET", self._mark, "last")]
        if self._cluster is not None:
            asked.append(("CLUSTER SLOTS",))
        _, told, server, last, *slots = self._send(asked, may_refuse=True)
        self._nodes.learn(*slots or [None])
        if isinstance(last, bytes):
            self._memory.note(int(float(last)))
        run_id = server.get("run_id", "") if isinstance(server, dict) else ""
        if run_id != self._run_id:
            if self._run_id:
                text = "Redis at %s has ended, and it or another serves now; what that one lacks is lost"
                logger.warning(text, self._place)
            self._run_id = run_id
            if self._cluster is None:
                self._introduce()
            elif run_id not in self._cluster.told:
                self._cluster.told.add(run_id)
                self._introduce()
        if isinstance(told, Exception):
            return time.time()
        seconds, microseconds = told
        return float(seconds + microseconds / 1e6)

    def _introduce(self) -> None:
        names = ("appendfsync", "save")
        asked: list[Command] = [("TIME",), ("INFO",), *(("CONFIG GET", name) for name in names)]
        told, info, *config = self._send(asked, may_refuse=True)
        known = {key: value for each in config if isinstance(each, dict) for key, value in each.items()}
        clustered = self._cluster is not None
        for level, sentence in promises(info if isinstance(info, dict) else {}, known, clustered):
            logger.log(level, "Redis at %s %s", self._place, sentence)
        if isinstance(told, Exception):
            logger.warning("Redis at %s refuses TIME; sessions expire by this machine's clock", self._place)

    def close(self) -> None:
        self._nodes.client.close()

    def _record(self, id: str) -> str:
        return f"{self._prefix}s:{id}"

    def _kept(self, id: str) -> str:
        return f"{self._prefix}n:{id}"

    def _script(self, script: str, keys: Sequence[str], *arguments: str | bytes | int) -> Command:
        return ("EVALSHA", _SHA[script], len(keys), *keys, *arguments)

    def _write_command(self, writes: Sequence[Write]) -> Command:
        keys = [self._live, self._plan, self._mark, self._settling]
        arguments: list[str | bytes | int] = [self._max_sessions]
        for write in writes:
            keys += [self._record(write.id), self._kept(write.id)]
            snapshot = write.snapshot
            arguments += [
                write.id,
                _REVISION.pack(write.expected),
                pack_record(write.stored, write.live),
                int(write.drop_snapshots),
                snapshot.name if snapshot else "",
                pack_snapshot(snapshot) if snapshot else b"",
                write.keep_automatic,
                "" if write.max_owned is None else write.max_owned,
                int(write.numbered),
            ]
        return self._script(WRITE, keys, *arguments)

    def _ask_pairs(self, script: str, key: str, *arguments: str | bytes | int) -> list[tuple[str, Stored]]:
        (answer,) = self._send([self._script(script, [key], *arguments)])
        return [(id.decode(), unpack_record(value)[0]) for id, value in _pairs(answer) if value is not None]

    def _send(self, commands: Sequence[Command], *, may_refuse: bool = False) -> list[Any]:
        """Send commands in one exchange, again and again until they are answered or time is up.

        ``may_refuse``: an answer may be the error of a server that does not allow a command.
        """
        until = time.monotonic() + self._timeout_s
        pause, moves = _FIRST_PAUSE_S, 0
        while True:
            try:
                answers = self._exchange(commands, may_refuse)
            except redis.AuthenticationError as error:
                self._down = True
                raise StoreUnavailable(f"Redis at {self._place} refuses the password: {error}") from error
            except MovedError as error:
                moves += 1
                if self._cluster is None or moves > _MOST_MOVES:
                    advice = "" if self._cluster else "; name its cluster as redis+cluster://HOST:PORT"
                    raise StoreUnavailable(f"Redis at {self._place} refuses: {error}{advice}") from error
                self._nodes.follow(error)
            except (redis.ConnectionError, redis.TimeoutError, *_MOVING) as error:
                if isinstance(error, _MOVING):
                    self._nodes.client.close()  # so that a new primary is told what this client remembers
                else:
                    self._nodes.turn()
                if self._down or time.monotonic() + pause >= until:
                    self._down = True
                    text = f"the session store (Redis at {self._place}) cannot be reached: {error}"
                    raise StoreUnavailable(text, retry_after_s=1.0) from error
                time.sleep(pause * random.uniform(0.5, 1.0))  # so that servers do not return in step
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            except redis.RedisError as error:
                raise StoreUnavailable(f"Redis at {self._place} refuses: {error}") from error
            else:
                self._down = False
                return answers

    def _exchange(self, commands: Sequence[Command], may_refuse: bool) -> list[Any]:
        answers = self._pipeline(commands)
        if any(isinstance(answer, redis.exceptions.NoScriptError) for answer in answers):
            # The server was started anew since, or is new to us.
            self._pipeline([("SCRIPT LOAD", script) for script in _SHA])
            answers = self._pipeline(commands)
        for answer in answers:
            if isinstance(answer, Exception) and not (may_refuse and _is_refusal(answer)):
                raise answer
        return answers

    def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        with self._nodes.client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py left it untyped
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            return answers


def _is_refusal(answer: Exception) -> bool:
    """Whether a command is not allowed, or not there: servers that are hosted rename some."""
    return isinstance(answer, redis.exceptions.NoPermissionError) or "unknown command" in str(answer)


def _pairs(flat: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _written(outcome: int, held: bytes | None = None) -> Written:
    if outcome == 1:
        return Written(ok=True)
    current = None if held is None else unpack_record(held)[0]
    return Written(
        False, current, full=outcome == 2, crowded=outcome == 3, behind=outcome == 4, unsure=outcome == 5
    )
