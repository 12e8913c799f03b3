"""What a browser does for a stranger's page: nothing is changed for it, and no other name is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.core.errors import ConfigurationError, Forbidden
from app.edge.http.source import HostNames
from app.settings import load_settings
from tests.e2e.server import ServerProcess
from tests.security.conftest import KeyFile

EVIL = "evil.example"
OURS = (
    "localhost",
    "LocalHost",
    "127.0.0.1",
    "127.8.8.8",
    "192.168.1.5",
    "[::1]",
    "[fe80::1]",
    "box",
    "app.localhost",
)
FOREIGN = (
    EVIL,
    "EVIL.example.",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "notlocalhost.com",
    "127.1.",
    "a@b.c",
    "[::1].evil.example",
    "evil.example:80:80",
)


@pytest.fixture(scope="module")
def server(one_model: Path) -> Iterator[ServerProcess]:
    with ServerProcess(one_model) as process:
        yield process


@pytest.mark.parametrize("port", ["", ":", ":8000"])
@pytest.mark.parametrize("name", OURS)
def test_names_of_this_machine_are_its_own(name: str, port: str) -> None:
    HostNames(()).check(f"{name}{port}".encode())


@pytest.mark.parametrize("port", ["", ":8000"])
@pytest.mark.parametrize("name", FOREIGN)
def test_other_names_are_not(name: str, port: str) -> None:
    """Asked again as well; unless they are listed."""
    names = HostNames(("example", "*.example.org"))
    for _ in range(2):
        with pytest.raises(Forbidden, match="--allowed-hosts"):
            names.check(f"{name}{port}".encode("latin-1"))
    HostNames("*").check(name.encode())


def test_listed_names_are_allowed() -> None:
    names = HostNames(("api.example.org", "*.example.net"))
    for host in ("api.example.org", "API.Example.org:8000", "a.b.example.net"):
        names.check(host.encode())
    for host in ("example.org", "x.api.example.org", "example.net", "api.example.org.evil.example"):
        with pytest.raises(Forbidden):
            names.check(host.encode())


@pytest.mark.parametrize(
    ("flags", "is_checked"),
    [
        ({}, True),
        ({"host": "localhost"}, True),
        ({"host": "::1"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"keys": "keys.toml"}, False),
        ({"trusted_proxies": "127.0.0.1"}, False),
        ({"allowed_hosts": "*"}, False),
        ({"host": "0.0.0.0", "keys": "keys.toml", "allowed_hosts": "api.example.org"}, True),
    ],
)
def test_where_names_are_checked(flags: dict[str, Any], is_checked: bool) -> None:
    """By default where nothing else stands between a page and the server."""
    settings = load_settings(**flags)
    names = HostNames(settings.hosts_of(settings.host))
    if is_checked:
        with pytest.raises(Forbidden):
            names.check(EVIL.encode())
    else:
        names.check(EVIL.encode())


@pytest.mark.parametrize("wrong", ["http://a.example", "a.example:80", "*x", "a..b"])
def test_what_is_no_name_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a name such as"):
        load_settings(allowed_hosts=wrong)


async def test_a_foreign_name_is_answered_by_nothing(server: ServerProcess) -> None:
    """Neither reads, nor sockets that call themselves of one origin, nor health."""
    host = f"{EVIL}:{server.port}"
    with server.client() as client:
        for path in ("/sessions", "/models", "/", "/metrics", "/v2", "/healthz", "/nowhere", "/docs"):
            answer = client.get(path, headers={"host": host})
            assert answer.status_code == 403, path
            assert "--allowed-hosts" in answer.text, path
    url = server.url.replace("http", "ws", 1)
    for path in ("/sessions", "/generate"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url + path, origin=f"http://{host}", additional_headers={"host": host})  # type: ignore[arg-type]  # a str all the same
        assert refused.value.response.status_code == 403


def test_a_name_that_is_allowed_is_answered(one_model: Path, keys: KeyFile) -> None:
    """On the admin port as well."""
    with ServerProcess(one_model, allowed_hosts=f"{EVIL},b.example") as server, server.client() as client:
        assert client.get("/sessions", headers={"host": f"{EVIL}:80"}).status_code == 200
        assert client.get("/sessions", headers={"host": "c.example"}).status_code == 403
    with ServerProcess(one_model, host="0.0.0.0", admin_port=0) as server, server.client() as client:
        assert client.get("/sessions", headers={"host": EVIL}).status_code == 200
        admin = int(server.log.split("admin port ")[1].split()[0])
        for host, status in ((EVIL, 403), ("localhost", 200)):
            answer = httpx2.get(f"http://127.0.0.1:{admin}/metrics", headers={"host": host})
            assert answer.status_code == status


def changes(server: ServerProcess) -> list[tuple[str, str]]:
    """Each route that may change something: all but GET."""
    with server.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in paths.items()
        for method in methods
        if method not in ("get", "head", "options")
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": f"http://{EVIL}"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": f"http://{EVIL}", "sec-fetch-site": "same-origin"},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json", None]
)
def test_no_foreign_page_changes_anything(
    server: ServerProcess, headers: dict[str, str], kind: str | None
) -> None:
    """On any route, whatever it calls what it sends; a page needs no leave to send the first two."""
    found = changes(server)
    assert len(found) > 15
    if kind is not None:
        headers = {**headers, "content-type": kind}
    with server.client() as client:
        for method, path in found:
            answer = client.request(method, path, content=b"{}", headers=headers)
            assert answer.status_code == 403, (method, path)
            assert "change nothing here" in answer.text


def test_its_own_page_and_what_is_no_browser_may(server: ServerProcess) -> None:
    own: tuple[dict[str, str], ...] = (
        {"origin": server.url, "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {},
    )
    with server.client() as client:
        for headers in own:
            answer = client.post("/forecast", json={"values": [1, 2, 3], "horizon": 1}, headers=headers)
            assert answer.status_code == 200
