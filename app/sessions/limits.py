"""The configurable limits of sessions, each stated once; ``app.settings`` makes a setting of each."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SessionLimits(BaseModel):
    """How much sessions may ask for, and how long they stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session_ttl_s: float = Field(
        3600.0, gt=0, le=2**31, description="seconds without a write until a session expires"
    )
    session_max_ttl_s: float = Field(
        30 * 86400.0, gt=0, le=2**31, description="longest --session-ttl-s that a session may ask for"
    )
    session_tombstone_s: float = Field(
        86400.0, ge=0, le=2**31, description="seconds for which an ended session answers 410"
    )
    session_max_call_steps: int = Field(1000, ge=1, le=1_000_000, description="steps of one call")
    session_max_batch_calls: int = Field(
        10_000, ge=1, le=1_000_000, description="calls of one request or batch on many sessions"
    )
    session_max_metadata_bytes: int = Field(
        4096, ge=2, le=2**20, description="metadata or options of one session, as JSON"
    )
    session_max_snapshots: int = Field(16, ge=0, le=10_000, description="named snapshots of one session")
    session_keep_automatic: int = Field(
        8, ge=0, le=10_000, description="automatic snapshots kept of one session"
    )
    session_snapshot_every: int = Field(
        0, ge=0, le=2**31, description="steps between automatic snapshots; 0 makes none"
    )
    session_cache_bytes: int = Field(
        64 * 2**20,
        ge=0,
        le=2**40,
        description="records of sessions that each process keeps in memory, so that a step need not read "
        "them; 0 keeps none",
    )
    session_max_page: int = Field(1000, ge=1, le=100_000, description="sessions of one listing")
