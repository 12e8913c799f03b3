"""The session stores, and how an address becomes one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from app.core.errors import ConfigurationError
from app.sessions.stores.store import SessionStore

Durability = Literal["process", "power"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
# Valkey speaks Redis's protocol; redis-py reads only the latter's names.
_REDIS = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}


def open_store(
    url: str, *, max_sessions: int, durability: Durability = "process", timeout_s: float = 4.0
) -> SessionStore:
    """Open the store at an address.

    Args:
        url: ``memory:``, ``lmdb:PATH``, a plain path of a directory, or
            ``redis://[[user]:password@]host[:port][/database][?prefix=...]``, with ``rediss:`` for
            TLS; ``valkey:`` and ``valkeys:`` mean the same. With ``+cluster`` behind it, as in
            ``redis+cluster:``, a cluster: see :func:`app.sessions.stores.redis_cluster.open_cluster`.
        durability: ``process``: what was acknowledged survives the death of any server process;
            ``power``: and that of the machine (LMDB: each group is synced; Redis: each group waits
            for the append-only file, which its configuration must have turned on).
        timeout_s: of one call over a network, or of the wait for another process's write.
    """
    scheme, rest = _parts(url)
    power_safe = durability == "power"
    if max_sessions < 1:
        raise ConfigurationError(f"a session store takes at least 1 session, not {max_sessions}")
    if scheme == "memory" and not rest.strip("/"):
        from app.sessions.stores.memory import MemoryStore

        if power_safe:
            raise ConfigurationError("sessions in memory end with the process; 'power' needs lmdb or redis")
        return MemoryStore(max_sessions)
    if scheme == "lmdb" and rest.strip("/"):
        from app.sessions.stores.lmdb import LmdbStore

        return LmdbStore(_folder(rest), max_sessions, power_safe=power_safe, timeout_s=timeout_s)
    if scheme in _REDIS and rest.startswith("//"):
        from app.sessions.stores.redis import RedisStore

        address = f"{_REDIS[scheme]}:{rest}"
        return RedisStore(address, max_sessions, power_safe=power_safe, timeout_s=timeout_s)
    kind = scheme.removesuffix("+cluster")
    if kind in _REDIS and rest.startswith("//"):
        from app.sessions.stores.redis_cluster import open_cluster

        address = f"{_REDIS[kind]}:{rest}"
        return open_cluster(address, max_sessions, power_safe=power_safe, timeout_s=timeout_s)
    # The address may hold a password: only its kind is shown.
    raise ConfigurationError(
        f"sessions cannot be kept at an address of kind {scheme!r}; allowed: memory:, lmdb:PATH, "
        "a directory, redis://HOST, rediss://HOST, valkey://HOST, valkeys://HOST, redis+cluster://HOST"
    )


def lmdb_path(url: str) -> Path | None:
    scheme, rest = _parts(url)
    return _folder(rest) if scheme == "lmdb" and rest.strip("/") else None


def shown(url: str) -> str:
    """An address without what may be secret."""
    scheme, rest = _parts(url)
    return (
        f"{scheme}:{rest}"
        if scheme in ("lmdb", "memory")
        else f"{scheme}://{rest.split('@')[-1].split('?')[0].strip('/')}"
    )


def _parts(url: str) -> tuple[str, str]:
    match = _SCHEME.fullmatch(url)
    return (match[1].lower(), match[2]) if match else ("lmdb", url)


def _folder(rest: str) -> Path:
    return Path(rest[2:] if rest.startswith("//") else rest)
