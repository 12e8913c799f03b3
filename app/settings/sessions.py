"""Settings of sessions: where they are kept, for how long, and how large they may be."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from app.sessions.limits import SessionLimits

_SESSIONS = SessionLimits()


class SessionSettings(BaseSettings):
    """What ``app.sessions`` and the session routes are told."""

    sessions: str = Field(
        "lmdb",
        repr=False,
        description="where sessions are kept: lmdb (in the folder of --state-dir), lmdb:FOLDER, memory:, "
        "redis://HOST:PORT (also rediss, valkey, valkeys), or off",
    )
    state_dir: Path = Field(Path("state"), description="folder of the LMDB session store and of its key")
    durability: Literal["process", "power"] = Field(
        "process",
        description="what an acknowledged step survives: process is the death of any server process, "
        "power is also that of the machine, for the price of a disk sync per group",
    )
    state_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="secret that signs downloaded states, at least 16 characters; give it as a variable, "
        "since flags are seen by others; left out, one is drawn and kept beside an LMDB store",
    )
    max_sessions: int = Field(
        1_000_000,
        ge=1,
        le=2**40,
        description="live sessions of the store, of all servers together, before 503",
    )
    session_ttl_s: float = Field(
        _SESSIONS.ttl_s, gt=0, le=2**31, description="seconds without a write until a session expires"
    )
    session_max_ttl_s: float = Field(
        _SESSIONS.max_ttl_s, gt=0, le=2**31, description="the longest such time that a session may ask for"
    )
    session_tombstone_s: float = Field(
        _SESSIONS.tombstone_s, ge=0, le=2**31, description="seconds for which an ended session answers 410"
    )
    session_max_call_steps: int = Field(
        _SESSIONS.max_call_steps, ge=1, le=1_000_000, description="steps of one call"
    )
    session_max_batch_calls: int = Field(
        _SESSIONS.max_batch_calls,
        ge=1,
        le=1_000_000,
        description="calls of one request or batch on many sessions",
    )
    session_max_metadata_bytes: int = Field(
        _SESSIONS.max_metadata_bytes,
        ge=2,
        le=2**20,
        description="metadata or options of one session, as JSON",
    )
    session_max_snapshots: int = Field(
        _SESSIONS.max_snapshots, ge=0, le=10_000, description="named snapshots of one session"
    )
    session_keep_automatic: int = Field(
        _SESSIONS.keep_automatic, ge=0, le=10_000, description="automatic snapshots kept of one session"
    )
    session_snapshot_every: int = Field(
        _SESSIONS.snapshot_every,
        ge=0,
        le=2**31,
        description="steps between automatic snapshots; 0 makes none",
    )
    session_cache_bytes: int = Field(
        _SESSIONS.cache_bytes,
        ge=0,
        le=2**40,
        description="records of sessions that each process keeps in memory, so that a step need not read "
        "them; 0 keeps none",
    )
    session_max_page: int = Field(_SESSIONS.max_page, ge=1, le=100_000, description="sessions of one listing")
