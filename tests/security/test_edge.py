"""Browsers, proxies, the admin port, ids, and what the server says at its start."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.core.errors import ConfigurationError
from app.settings import load_settings
from app.startup import open_listeners
from tests.e2e.server import ServerProcess
from tests.security.conftest import KeyFile

SITE = "https://dash.example"


def admin_url(process: ServerProcess) -> str:
    """Of the port that the start named."""
    found = re.search(r"admin port (\d+)", process.log)
    assert found, process.log
    return f"http://127.0.0.1:{found[1]}"


def test_a_browser_of_an_allowed_site_gets_its_preflight(one_model: Path, keys: KeyFile) -> None:
    """Without a key, as browsers send it; refusals can be read by the page, too. Other sites get nothing."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-a"}
    with (
        ServerProcess(one_model, keys=keys.path, cors_origins=f"{SITE},https://b.example") as server,
        server.client() as client,
    ):
        allowed = client.options("/forecast", headers={"origin": SITE, **asked})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == SITE
        assert "POST" in allowed.headers["access-control-allow-methods"]
        assert "authorization" in allowed.headers["access-control-allow-headers"]
        foreign = client.options("/forecast", headers={"origin": "https://evil.example", **asked})
        assert "access-control-allow-origin" not in foreign.headers
        for key, status in ((keys.keys["alice"], 200), ("wrong", 401)):
            answer = client.get("/models", headers={"origin": SITE, "x-api-key": key})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == SITE
            assert "Retry-After" in answer.headers["access-control-expose-headers"]
        # A page imports a module of another site only with this, and sends no key with it.
        module = client.get("/static/client.js", headers={"origin": SITE})
        assert (module.status_code, module.headers["access-control-allow-origin"]) == (200, SITE)


async def test_without_keys_no_foreign_page_may_open_a_socket(server: ServerProcess) -> None:
    """A browser would hand the answers to it. What is no browser, and the server's own page, may."""
    url = server.url.replace("http", "ws", 1) + "/sessions"
    for origin in (SITE, "null", "http://127.0.0.1:1"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, origin=origin)  # type: ignore[arg-type]  # a str all the same
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body)["type"] == "urn:rnnserve:problem:forbidden"
    for own in (None, server.url):
        async with connect(url, origin=own) as opened:  # type: ignore[arg-type]  # likewise
            await opened.send(json.dumps({"type": "marker", "marker": "m"}))
            assert json.loads(await opened.recv())["type"] == "marker"


def test_without_the_setting_no_site_is_allowed(server: ServerProcess) -> None:
    """Off by default."""
    with server.client() as client:
        answer = client.get("/models", headers={"origin": SITE})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_admin_port_alone_answers_what_is_for_operators(one_model: Path, keys: KeyFile) -> None:
    """Metrics are open there, since its address is what guards it; changing models needs the role as well."""
    with (
        ServerProcess(one_model, keys=keys.path, admin_port=0) as server,
        server.client() as main,
        httpx2.Client(base_url=admin_url(server)) as admin,
    ):
        root = {"x-api-key": keys.keys["root"]}
        alice = {"x-api-key": keys.keys["alice"]}
        assert admin.get("/metrics").status_code == 200
        assert main.get("/metrics", headers=root).status_code == 404
        for client in (main, admin):
            assert client.get("/readyz").status_code == 200
        for path in ("/models", "/", "/forecast", "/v1/models"):
            assert admin.get(path, headers=root).status_code == 404, path
        load = "/v2/repository/models/tiny-series-gru/load"
        for path in ("/admin/models", load):
            assert main.post(path, headers=root).status_code == 404
            assert admin.post(path).status_code == 401
            assert admin.post(path, headers=alice).status_code == 403
            assert admin.post(path, headers=root).status_code not in (401, 403)
        assert main.get("/models", headers=alice).status_code == 200


def test_several_workers_answer_on_the_admin_port(one_model: Path, tmp_path: Path) -> None:
    """They share that listener as they share the main one."""
    with ServerProcess(one_model, workers=2, admin_port=0, state_dir=tmp_path) as server:
        for _ in range(8):
            assert httpx2.get(f"{admin_url(server)}/metrics").status_code == 200
            assert httpx2.get(f"{server.url}/metrics").status_code == 404


@pytest.mark.parametrize(
    ("proxies", "shown"),
    [("10.0.0.0/8, 127.0.0.1", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1"), ("", "127.0.0.1")],
)
def test_a_trusted_proxy_says_who_the_client_is(
    one_model: Path, keys: KeyFile, proxies: str, shown: str
) -> None:
    """In the log of refusals; from anybody else the header is an invention."""
    with (
        ServerProcess(one_model, keys=keys.path, trusted_proxies=proxies) as server,
        server.client() as client,
    ):
        assert client.get("/models", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 401
        for _ in range(50):
            client.get("/models")
    server.wait_for_log(f"a request from {shown} was refused")
    # Whoever hammers does not fill the disk.
    assert server.log.count("was refused") < 10


def test_the_start_warns_when_everybody_may_reach_it(
    one_model: Path, keys: KeyFile, server: ServerProcess
) -> None:
    """On either port; and it says nothing on localhost, or with keys."""
    warning = "is reachable from other machines and no keys are set"
    assert warning not in server.log
    everywhere = {"host": "0.0.0.0", "admin_port": 0, "admin_host": "0.0.0.0"}
    with ServerProcess(one_model, **everywhere) as open_to_all:
        open_to_all.wait_for_log(f"--host 0.0.0.0 {warning}")
        open_to_all.wait_for_log(f"--admin-host 0.0.0.0 {warning}")
    with ServerProcess(one_model, keys=keys.path, **everywhere) as guarded:
        assert warning not in guarded.log


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"key_requests_per_s": 5}, "--key-requests-per-s bounds what a key may do, so it needs --keys"),
        ({"port": 1234, "admin_port": 1234}, "--admin-port and --port must be two ports"),
        ({"trusted_proxies": "somewhere"}, "--trusted-proxies: .*'somewhere' is not an address"),
        ({"cors_origins": "dash.example"}, "--cors-origins: .*'dash.example' is not SCHEME://HOST"),
    ],
)
def test_what_cannot_hold_is_refused(flags: dict[str, object], message: str) -> None:
    """With one sentence."""
    with pytest.raises(ConfigurationError, match=message):
        open_listeners(load_settings(**flags))


def test_a_server_without_its_keys_does_not_start(one_model: Path) -> None:
    """It must not serve everybody."""
    message = "rnnserve: the keys file '/nonexistent' cannot be read"
    with pytest.raises(AssertionError, match=message), ServerProcess(one_model, keys="/nonexistent"):
        pass


def test_an_admin_port_that_is_taken_stops_the_start(one_model: Path) -> None:
    """Rather than serve without it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(AssertionError, match="is already in use"),
            ServerProcess(one_model, admin_port=port),
        ):
            pass


@pytest.mark.parametrize(
    ("given", "trace"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
        ("nonsense", None),
    ],
)
def test_a_trace_goes_on_in_the_answer(server: ServerProcess, given: str, trace: str | None) -> None:
    """Its id and flags are those that came, the span is this server's; what is no trace is left out."""
    with server.client() as client:
        headers = client.get("/models", headers={"traceparent": given, "x-request-id": "mine"}).headers
    assert headers["x-request-id"] == "mine"
    if trace is None:
        assert "traceparent" not in headers
    else:
        version, id, span, flags = headers["traceparent"].split("-")
        assert (version, id, flags) == ("00", trace, given.split("-")[3])
        assert re.fullmatch("[0-9a-f]{16}", span)
        assert span not in ("00f067aa0ba902b7", "0" * 16)


def test_answers_are_what_they_say(server: ServerProcess) -> None:
    """Once in every answer, good or bad."""
    with server.client() as client:
        for path in ("/models", "/", "/none", "/docs", "/metrics"):
            assert client.get(path).headers.get_list("x-content-type-options") == ["nosniff"], path
