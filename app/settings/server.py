"""Settings of the server itself: where it listens, how it logs, how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class ServerSettings(BaseSettings):
    config: Path | None = Field(
        None, description="settings file, TOML: a line NAME = VALUE for each setting, with underscores"
    )
    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for every interface")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["json", "console"] = Field("console", description="form of the log lines")
    access_log: bool = Field(False, description="log a line for each HTTP answer")
    tracing: Literal["off", "otlp"] = Field(
        "off",
        description="export OpenTelemetry spans by OTLP over HTTP, as the OTEL_* variables say; "
        "needs the extra otel",
    )
    grace_s: float = Field(
        20.0, ge=0, le=3600, description="seconds that running work may take to finish after SIGTERM"
    )

    page: Literal["on", "off"] = Field("on", description="whether GET / serves the page; see docs/page.md")
    workers: int = Field(
        1, ge=1, le=256, description="processes that serve the port together, each with all models"
    )
    engines: Literal["auto", "threads", "loop"] = Field(
        "auto",
        description="where models run: on threads of their own beside the network, or on its event loop, "
        "which saves the hand-over; auto takes the loop where each core has a worker process",
    )
    lanes: int = Field(
        0,
        ge=0,
        le=256,
        description="threads of a process that may share one run of a graph where that is faster; "
        "0 takes its share of the cores, 1 shares none",
    )
