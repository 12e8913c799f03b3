"""Sessions on a cluster of Redis or Valkey: shards, each in one slot, spread evenly over all slots.

Scripts change what a shard knows besides its records with them, so all of it lies in the same slot, which the
hash tag of its keys names (Redis Cluster specification, "Hash tags").
"""

from __future__ import annotations

from itertools import count
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis.crc import key_slot

from app.core.errors import ConfigurationError
from app.sessions.stores.redis import DEFAULT_PREFIX, RedisStore
from app.sessions.stores.redis_nodes import Cluster
from app.sessions.stores.sharded import ShardedStore

_SLOTS = 16384
_SHARDS, _MOST = 8, 256


def open_cluster(url: str, max_sessions: int, *, power_safe: bool, timeout_s: float) -> ShardedStore:
    """The store of ``redis://[[user]:password@]host[:port][,host...][?prefix=...&shards=8]``.

    Any nodes may be named; they name the others. ``shards`` says where each session is: another number finds
    none of the sessions of before. Each shard takes its share of ``max_sessions``.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    shards, prefix = options.pop("shards", str(_SHARDS)), options.pop("prefix", DEFAULT_PREFIX)
    if not (shards.isdecimal() and 1 <= int(shards) <= _MOST):
        raise ConfigurationError(f"shards={shards} of the session store: give 1 to {_MOST}")
    if parts.path.strip("/") not in ("", "0"):
        raise ConfigurationError("a cluster of Redis has no databases but 0; leave it out")
    user, at, hosts = parts.netloc.rpartition("@")
    nodes = [host if ":" in host else f"{host}:6379" for host in hosts.split(",")]
    for node in nodes:
        try:
            if not (urlsplit(f"//{node}").hostname and urlsplit(f"//{node}").port):
                raise ValueError("host or port is missing")
        except ValueError as error:
            raise ConfigurationError(f"{node} of the session store is no HOST:PORT: {error}") from error
    number, cluster = int(shards), Cluster(nodes)
    return ShardedStore(
        [
            RedisStore(
                urlunsplit(
                    parts._replace(
                        netloc=f"{user}{at}{nodes[0]}",
                        path="",
                        query=urlencode({**options, "prefix": f"{prefix}{{{_tag(shard, number)}}}:"}),
                    )
                ),
                -(-max_sessions // number),
                power_safe=power_safe,
                timeout_s=timeout_s,
                cluster=cluster,
            )
            for shard in range(number)
        ]
    )


def _tag(shard: int, shards: int) -> str:
    """A hash tag in the middle of that share of all slots, of which nodes have ranges."""
    middle = range(_SLOTS * (3 * shard + 1) // (3 * shards), _SLOTS * (3 * shard + 2) // (3 * shards))
    return next(tag for number in count() if key_slot((tag := f"{shard}-{number}").encode()) in middle)
