"""What a Redis server keeps, as it says itself at the start: in the log, in words."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from app.sessions.stores.redis import RedisStore
from app.sessions.stores.redis_promise import promises
from tests.redis_server import KINDS, PASSWORD, RedisServer

SOUND = {"aof_enabled": 1, "maxmemory_policy": "noeviction", "role": "master", "redis_version": "7.2.4"}


@pytest.mark.parametrize(
    ("info", "config", "level", "text"),
    [
        ({}, {"appendfsync": "always"}, "INFO", "before it answers: a crash of its machine loses nothing"),
        ({}, {"appendfsync": "everysec"}, "INFO", "loses the last two seconds at most"),
        ({}, {"appendfsync": "no"}, "WARNING", "may lose the last half a minute"),
        ({}, {}, "INFO", "as often as it does not tell"),
        ({"aof_enabled": 0}, {"save": ""}, "WARNING", "keeps nothing on disk: when it ends, all sessions"),
        ({"aof_enabled": 0}, {"save": "60 1"}, "WARNING", "at most snapshots (save 60 1)"),
        ({"aof_enabled": 0}, {}, "WARNING", "has no append-only file, at most snapshots:"),
        ({"maxmemory_policy": "allkeys-lru"}, {}, "WARNING", "may throw sessions away"),
        ({"maxmemory_policy": "volatile-ttl"}, {"appendfsync": "always"}, "INFO", "loses nothing"),
        ({"role": "slave"}, {}, "WARNING", "is a replica, which takes no writes"),
        ({"cluster_enabled": 1}, {}, "WARNING", "is part of a cluster"),
        ({"redis_version": "6.0.16"}, {}, "WARNING", "6.2 is the oldest"),
    ],
)
def test_each_configuration_is_put_into_words(
    info: dict[str, Any], config: dict[str, str], level: str, text: str
) -> None:
    said = list(promises({**SOUND, **info}, config))
    assert [logging.getLevelName(one) for one, sentence in said if text in sentence] == [level]
    if not info:
        assert len(said) == 1


def test_a_server_that_says_nothing_is_not_trusted() -> None:
    assert [sentence for _, sentence in promises({}, {})] == [
        "does not tell what it keeps (INFO is refused): a crash of it may lose sessions"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_asked_once_and_again_when_it_was_restarted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A restart is said as well: what was not on the disk is lost with it."""
    caplog.set_level(logging.INFO)
    with RedisServer(tmp_path, kind, append_only=False) as server:
        store = RedisStore(server.url, 10)
        with server.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        for _ in range(3):
            assert abs(store.check() - time.time()) < 1
        assert caplog.text.count("keeps nothing on disk: when it ends, all sessions are gone") == 1
        assert caplog.text.count("may throw sessions away when its memory is full (allkeys-lru)") == 1
        assert "it or another serves now" not in caplog.text
        server.kill()
        server.start()
        store.check()
        assert caplog.text.count("it or another serves now; what that one lacks is lost") == 1
        assert caplog.text.count("keeps nothing on disk") == 2
        assert PASSWORD not in caplog.text
        store.close()


def test_a_user_who_may_not_ask_can_keep_sessions_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The time is this machine's then, and the log says both."""
    with RedisServer(tmp_path) as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "bob", "on", ">secret", "~*", "+ping", "+mget")
        store = RedisStore(server.url.replace(f":{PASSWORD}", "bob:secret"), 10)
        assert abs(store.check() - time.time()) < 1
        assert store.get(["a"]) == [None]
        store.close()
    assert "does not tell what it keeps (INFO is refused)" in caplog.text
    assert "refuses TIME; sessions expire by this machine's clock" in caplog.text
