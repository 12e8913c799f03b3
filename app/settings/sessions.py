"""Settings that say where sessions are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class StoreSettings(BaseSettings):
    sessions: str = Field(
        "lmdb",
        repr=False,
        description="where sessions are kept: lmdb (in the folder of --state-dir), lmdb:FOLDER, memory:, "
        "redis://HOST:PORT (also rediss, valkey, valkeys; redis+cluster for a cluster), or off",
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
    max_clock_skew_s: float = Field(
        30.0,
        gt=0,
        le=2**31,
        description="seconds by which this machine's clock may differ from that of the session store before "
        "the server is not ready; sessions expire by the store's",
    )
    max_sessions: int = Field(
        1_000_000,
        ge=1,
        le=2**40,
        description="live sessions of the store, of all servers together, before 503",
    )
