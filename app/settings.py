"""Every setting, once: flags, then ``RNNSERVE_*`` environment variables, then the defaults below.

    flags --+
    RNNSERVE_* --> Settings (frozen) --> create_app(settings) --> plain values to each layer

Read once at start-up and passed on as values; nothing else looks at the environment.
"""

from __future__ import annotations

import logging
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.errors import ConfigurationError
from app.schemas.limits import Limits
from app.schemas.session_limits import SessionLimits

ENV_PREFIX = "RNNSERVE_"
FOREIGN_VARIABLES = frozenset({"RNNSERVE_DATA"})
"""Variables of the training side that share the prefix."""

TASKS = ("forecast", "generate", "sentiment")
_LIMITS = Limits()
_SESSIONS = SessionLimits()
_SECRET = frozenset({"sessions", "state_key"})
"""Settings whose values may hold a password, and are shown nowhere."""


class Settings(BaseSettings):
    """All settings. Each field's description is also its ``--help`` text and its line in the docs."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, env_file=None
    )

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for every interface")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    models: Path = Field(Path("models"), description="folder of bundles, models/NAME/VERSION/")
    default: str = Field(
        "forecast=forecaster,sentiment=sentiment,generate=shakespeare",
        description="model that answers a task's requests which name none, TASK=NAME or TASK=NAME@VERSION, "
        "by commas; a task whose name here is not served falls to the first served name in "
        "alphabetical order",
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="where the graphs run; cuda needs onnxruntime-gpu"
    )
    skip_bad_models: bool = Field(
        False, description="serve the good bundles when some fail verification, instead of refusing to start"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["json", "console"] = Field("console", description="form of the log lines")
    grace_s: float = Field(
        20.0, ge=0, le=3600, description="seconds that running work may take to finish after SIGTERM"
    )

    workers: int = Field(
        1, ge=1, le=256, description="processes that serve the port together, each with all models"
    )

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
    session_max_page: int = Field(_SESSIONS.max_page, ge=1, le=100_000, description="sessions of one listing")

    max_body_bytes: int = Field(
        _LIMITS.max_body_bytes, ge=1, le=2**31, description="largest request body, in bytes"
    )
    max_series: int = Field(
        _LIMITS.max_series, ge=1, le=10_000_000, description="series in one forecast request"
    )
    max_points: int = Field(
        _LIMITS.max_points, ge=1, le=2**31, description="observations in one request, over all its series"
    )
    max_text_chars: int = Field(
        _LIMITS.max_text_chars, ge=1, le=10_000_000, description="characters of one text or prompt"
    )
    max_texts: int = Field(_LIMITS.max_texts, ge=1, le=100_000, description="texts in one sentiment request")
    max_prompt_tokens: int = Field(
        _LIMITS.max_prompt_tokens, ge=1, le=10_000_000, description="tokens of one text or prompt"
    )
    max_tokens: int = Field(
        _LIMITS.max_tokens, ge=1, le=2**31 - 1, description="tokens one generation may produce"
    )
    max_choices: int = Field(_LIMITS.max_choices, ge=1, le=10_000, description="texts of one generation, n")
    max_stop: int = Field(_LIMITS.max_stop, ge=0, le=64, description="stop strings of one generation")
    request_timeout_s: float = Field(
        _LIMITS.request_timeout_s, gt=0, le=86_400, description="seconds a request may take from its arrival"
    )
    max_queued_steps: int = Field(
        _LIMITS.max_queued_steps, ge=1, le=2**40, description="steps waiting in one model's queue, before 503"
    )
    max_queued_sequences: int = Field(
        _LIMITS.max_queued_sequences,
        ge=1,
        le=2**31,
        description="series, texts and choices waiting in one model's queue, before 503",
    )
    max_slots: int = Field(
        _LIMITS.max_slots, ge=1, le=65_536, description="sequences of one model that advance at the same time"
    )
    max_batch: int = Field(_LIMITS.max_batch, ge=1, le=65_536, description="rows in one run of a graph")
    max_chunk: int = Field(
        _LIMITS.max_chunk, ge=1, le=65_536, description="supplied steps a sequence advances in one run"
    )
    max_connections: int = Field(_LIMITS.max_connections, ge=1, le=1_000_000, description="open WebSockets")
    max_frame_bytes: int = Field(
        _LIMITS.max_frame_bytes, ge=1, le=2**30, description="largest WebSocket frame from a client, in bytes"
    )
    socket_idle_s: float = Field(
        _LIMITS.socket_idle_s,
        gt=0,
        le=86_400,
        description="seconds without a generation until a WebSocket closes",
    )
    socket_ping_s: float = Field(
        _LIMITS.socket_ping_s,
        gt=0,
        le=3600,
        description="seconds between WebSocket pings, and the wait for an answer",
    )
    socket_send_s: float = Field(
        _LIMITS.socket_send_s, gt=0, le=3600, description="seconds a WebSocket client may leave frames unread"
    )

    @field_validator("default")
    @classmethod
    def _defaults_parse(cls, value: str) -> str:
        parse_defaults(value)
        return value

    @property
    def limits(self) -> Limits:
        """The limits as the plain value that services and routes read."""
        return Limits(**{field.name: getattr(self, field.name) for field in fields(Limits)})

    @property
    def session_limits(self) -> SessionLimits:
        """The limits of sessions, likewise; those that no session setting has are the requests' own."""
        own = {field.name: f"session_{field.name}" for field in fields(SessionLimits)}
        given = {
            name: getattr(self, own[name] if own[name] in Settings.model_fields else name) for name in own
        }
        return SessionLimits(**given)

    @property
    def session_store(self) -> str | None:
        """The address of the session store, or ``None`` when sessions are off. May hold a password."""
        if self.sessions == "off":
            return None
        return f"lmdb:{self.state_dir}" if self.sessions in ("lmdb", "lmdb:") else self.sessions

    @property
    def default_models(self) -> dict[str, str]:
        """Task to the ``name`` or ``name@version`` that serves it by default."""
        return parse_defaults(self.default)


def parse_defaults(value: str) -> dict[str, str]:
    """Read ``task=name,task=name@version``.

    Raises:
        ValueError: an item is not of that form, or its task is unknown or named twice.
    """
    chosen: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        task, equals, name = (part.strip() for part in item.partition("="))
        if not equals or not name or task not in TASKS:
            raise ValueError(f"{item!r} is not TASK=NAME with TASK one of {', '.join(TASKS)}")
        if task in chosen:
            raise ValueError(f"the task {task!r} is named twice")
        chosen[task] = name
    return chosen


def load_settings(**flags: Any) -> Settings:
    """Settings from flags (those not ``None``), the environment and the defaults.

    Unknown ``RNNSERVE_*`` variables are warned about, since a misspelt limit would be no limit.

    Raises:
        ConfigurationError: a value is wrong; names the setting, its variable and what is allowed.
    """
    for variable in unknown_variables(os.environ):
        logging.getLogger("rnnserve").warning("%s is not a setting of rnnserve and is ignored", variable)
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            name = str(problem["loc"][0]) if problem["loc"] else "settings"
            source = f"--{name.replace('_', '-')}" if name in given else f"{ENV_PREFIX}{name.upper()}"
            got = "a value that is not shown" if name in _SECRET else repr(problem["input"])
            lines.append(f"{source}: {problem['msg']}, got {got}")
        raise ConfigurationError("; ".join(lines)) from error


def unknown_variables(environment: Any) -> list[str]:
    """Names in ``environment`` that have our prefix and are no setting."""
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields} | FOREIGN_VARIABLES
    return sorted(name for name in environment if name.startswith(ENV_PREFIX) and name.upper() not in known)
