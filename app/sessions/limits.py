"""The configurable limits of sessions, as a plain value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How much sessions may ask for, and how long they stay.

    Attributes:
        ttl_s: a session ends after so long without a write, unless it asked for another time.
        max_ttl_s: the longest it may ask for.
        tombstone_s: how long an ended session is remembered as ended.
        max_call_steps: steps of one call.
        max_batch_calls: calls of one request or frame on many sessions.
        max_metadata_bytes: of one session's metadata and options, as JSON.
        max_snapshots: named snapshots of one session.
        keep_automatic: automatic snapshots that are kept of one session.
        snapshot_every: steps between automatic snapshots; 0 makes none.
        max_page: sessions of one listing.
        cache_bytes: of records kept in memory by each process, so that a step need not read them.
        request_timeout_s: deadline of a call, from its arrival.
    """

    ttl_s: float = 3600.0
    max_ttl_s: float = 30 * 86400.0
    tombstone_s: float = 86400.0
    max_call_steps: int = 1000
    max_batch_calls: int = 10_000
    max_metadata_bytes: int = 4096
    max_snapshots: int = 16
    keep_automatic: int = 8
    snapshot_every: int = 0
    max_page: int = 1000
    cache_bytes: int = 64 * 2**20
    request_timeout_s: float = 60.0
