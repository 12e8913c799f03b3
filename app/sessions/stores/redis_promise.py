"""What a Redis or Valkey server, as it is configured, keeps of what it has acknowledged, in sentences."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

_OLDEST = (6, 2)
_CRASH = "syncs its append-only file {}: a crash of its machine {}"
_APPENDED = {
    "always": (logging.INFO, _CRASH.format("before it answers", "loses nothing")),
    "everysec": (logging.INFO, _CRASH.format("every second", "loses the last two seconds at most")),
    "no": (logging.WARNING, _CRASH.format("when its system likes", "may lose the last half a minute")),
}
_UNKNOWN = (logging.INFO, _CRASH.format("as often as it does not tell", "loses what came since"))


def promises(
    info: Mapping[str, Any], config: Mapping[str, str], clustered: bool = False
) -> Iterator[tuple[int, str]]:
    """Levels of logging and what follows from the answers to INFO and CONFIG GET; the latter may be empty."""
    yield _kept(info, config)
    policy = str(info.get("maxmemory_policy", ""))
    if policy.startswith("allkeys"):
        text = f"may throw sessions away when its memory is full ({policy}); set maxmemory-policy noeviction"
        yield logging.WARNING, text
    if info.get("role", "master") != "master":
        yield logging.WARNING, "is a replica, which takes no writes; name the primary"
    if info.get("cluster_enabled") and not clustered:
        yield logging.WARNING, "is part of a cluster; name it as redis+cluster://HOST:PORT"
    version = str(info.get("redis_version", ""))
    if version and tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < _OLDEST:
        yield logging.WARNING, f"is of version {version}; 6.2 is the oldest that is supported"


def _kept(info: Mapping[str, Any], config: Mapping[str, str]) -> tuple[int, str]:
    if "aof_enabled" not in info:
        text = "does not tell what it keeps (INFO is refused): a crash of it may lose sessions"
    elif info["aof_enabled"]:
        return _APPENDED.get(config.get("appendfsync", ""), _UNKNOWN)
    elif config.get("save") == "":
        text = "keeps nothing on disk: when it ends, all sessions are gone; set appendonly yes"
    else:
        when = f" (save {config['save']})" if "save" in config else ""
        text = (
            f"has no append-only file, at most snapshots{when}: a crash of it loses the steps and sessions "
            "since the last one; set appendonly yes"
        )
    return logging.WARNING, text
