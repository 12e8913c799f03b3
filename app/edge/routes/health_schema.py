"""What the probes answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.core.schema import Answer


class Health(Answer):
    """``GET /healthz``."""

    status: Literal["ok", "failed"]
    dead: list[str] = Field(description="models whose engine has stopped; the process should be replaced")


class Readiness(Answer):
    """``GET /readyz``."""

    ready: bool
    reason: str | None = Field(description="why not")
    models: list[str]
