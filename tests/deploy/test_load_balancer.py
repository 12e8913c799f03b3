"""The load balancer: a real HAProxy before two real servers on one real Valkey."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.deploy.balancer import FOLDER, Balancer, free_address, haproxy
from tests.deploy.manifests import read_yaml, seconds, settings_of
from tests.e2e.server import REPOSITORY, ServerProcess
from tests.redis_server import RedisServer

CONFIG = (FOLDER / "haproxy.cfg").read_text()


def values(name: str) -> list[str]:
    """What a keyword of the configuration is set to, each time."""
    return re.findall(rf"^    {name} (\S+)", CONFIG, re.MULTILINE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Valkey."""
    with RedisServer(tmp_path_factory.mktemp("store")) as server:
        yield server.url


def replica(models: Path, store: str, **flags: object) -> ServerProcess:
    """A server as the compose file's profile scale starts it."""
    return ServerProcess(models, sessions=store, state_key="k" * 32, trusted_proxies="127.0.0.1", **flags)


@pytest.fixture
def replicas(tiny_models: Path, store: str) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two of them."""
    with replica(tiny_models, store) as one, replica(tiny_models, store) as two:
        yield one, two


@pytest.fixture
def balancer(replicas: tuple[ServerProcess, ServerProcess], tmp_path: Path) -> Iterator[Balancer]:
    """HAProxy, when it has found both ready."""
    addresses = [f"127.0.0.1:{one.port}" for one in replicas]
    with Balancer(addresses, tmp_path / "log") as found:
        found.wait_for(2)
        yield found


@pytest.mark.parametrize("file", ["replicas-two.cfg", "replicas-dns.cfg"])
def test_the_configuration_is_valid(file: str) -> None:
    """HAProxy itself says so, without a warning."""
    environment = {"REPLICA_1": "127.0.0.1:1", "REPLICA_2": "127.0.0.1:2"}
    command = [haproxy(), "-c", "-dW", "-f", str(FOLDER / "haproxy.cfg"), "-f", str(FOLDER / file)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    assert "[WARNING]" not in result.stderr


def test_its_times_agree_with_the_settings() -> None:
    """It waits longer than a server may take, and than a socket is silent between pings."""
    settings = settings_of({})
    assert seconds(values("timeout server")[0]) > settings.request_timeout_s
    assert seconds(values("timeout client")[0]) > settings.request_timeout_s
    assert seconds(values("timeout tunnel")[0]) > 2 * settings.socket_ping_s
    compose = read_yaml(REPOSITORY / "docker-compose.yml")["services"]["load-balancer"]
    assert seconds(compose["stop_grace_period"]) > seconds(values("hard-stop-after")[0])


def test_compose_starts_it_with_variables_it_reads_and_files_that_are_there() -> None:
    """And asks the address for its health at which it answers by default."""
    service = read_yaml(REPOSITORY / "docker-compose.yml")["services"]["load-balancer"]
    (mount,) = service["volumes"]
    source, target, _ = mount.split(":")
    named = [Path(name) for name in service["command"] if name != "-f"]
    read = ""
    for file in named:
        assert str(file.parent) == target
        read += (REPOSITORY / source / file.name).read_text()
    variables = dict(re.findall(r'"\$\{(\w+)-([^}]*)\}"', read))
    assert set(service["environment"]) <= set(variables)
    assert service["environment"]["LB_LISTEN"] == variables["LB_LISTEN"]
    assert f"http://{variables['LB_STATUS']}/healthz" in service["healthcheck"]["test"]
    name, _, port = service["environment"]["REPLICAS"].partition(":")
    assert name in service["depends_on"]
    assert int(port) == settings_of({}).port


def test_every_way_of_asking_passes(balancer: Balancer) -> None:
    """Whole answers, events, sockets, and the status of the balancer itself."""
    with balancer.client() as client:
        forecast = client.post("/forecast", json={"values": [1, 2, 3, 4, 5, 6], "horizon": 2})
        assert forecast.status_code == 200, forecast.text
        body = {"prompt": "a", "max_tokens": 20, "stream": True}
        with client.stream("POST", "/generate", json=body) as events:
            assert events.headers["content-type"].startswith("text/event-stream")
            assert '"type":"done"' in "".join(events.iter_text())
    with connect(f"ws://{balancer.address}/generate") as socket:
        socket.send(json.dumps({"prompt": "a", "max_tokens": 5}))
        while json.loads(socket.recv(10))["type"] != "done":
            pass
    assert httpx2.get(f"http://{balancer.status}/healthz").status_code == 200
    assert balancer.stop() == 0


@pytest.mark.parametrize("path", ["/metrics", "/admin/models", "/v2/repository/index"])
def test_what_is_said_by_one_replica_alone_is_not_passed_on(path: str, balancer: Balancer) -> None:
    """Also where the replicas have no admin port."""
    with balancer.client() as client:
        answer = client.post(path) if path.startswith("/v2") else client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def answered(server: ServerProcess, route: str) -> float:
    """How many answers of a route it has given."""
    return server.metric("rnnserve_http_responses_total", route=route)


def test_a_session_goes_to_one_replica_and_others_elsewhere(
    balancer: Balancer, replicas: tuple[ServerProcess, ServerProcess]
) -> None:
    """By its id, so that its record is at hand; what is not of one session goes to both."""
    steps = "/sessions/{id}/steps"
    with balancer.client() as client:
        for number in range(12):
            name = f"affine-{number}"
            client.post("/sessions", json={"task": "forecast", "id": name}).raise_for_status()
            before = [answered(one, steps) for one in replicas]
            for seq in (1, 2, 3):
                client.post(f"/sessions/{name}/steps", json={"seq": seq, "inputs": seq}).raise_for_status()
            after = [answered(one, steps) for one in replicas]
            assert sorted(new - old for new, old in zip(after, before, strict=True)) == [0, 3]
        assert all(answered(one, steps) for one in replicas)
        for _ in range(8):
            client.get("/models").raise_for_status()
    assert all(answered(one, "/models") for one in replicas)


def last_frame(socket: ClientConnection) -> dict[str, Any]:
    """What came last before the server closed it."""
    frame: dict[str, Any] = {}
    while True:
        try:
            frame = json.loads(socket.recv(30))
        except ConnectionClosed:
            return frame


def test_a_replica_that_drains_gets_no_more_and_its_sockets_are_told(
    balancer: Balancer, replicas: tuple[ServerProcess, ServerProcess], tiny_models: Path, store: str
) -> None:
    """Requests go on without an error; the session goes on at the other replica, and back."""
    failures: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        with balancer.client() as client:
            while not stop.is_set():
                answer = client.post("/forecast", json={"values": [1, 2, 3, 4], "horizon": 1})
                if answer.status_code != 200:
                    failures.append(f"{answer.status_code} {answer.text}")

    with balancer.client() as client:
        client.post("/sessions", json={"task": "forecast", "id": "moves"}).raise_for_status()
        with connect(f"ws://{balancer.address}/sessions/moves") as socket:
            assert json.loads(socket.recv(10))["type"] == "hello"
            socket.send(json.dumps({"type": "step", "seq": 1, "inputs": 3}))
            assert json.loads(socket.recv(10))["step"] == 1
            (holder,) = [one for one in replicas if one.metric("rnnserve_websockets") == 1]
            asking = threading.Thread(target=ask)
            asking.start()
            holder.signal(signal.SIGTERM)
            assert last_frame(socket)["type"] == "closing"
            assert socket.close_code == 1012
        assert holder.wait() == 0
        balancer.wait_for(1)
        stop.set()
        asking.join(60)
        assert not failures
        client.post("/sessions/moves/steps", json={"seq": 2, "inputs": 4}).raise_for_status()
        with replica(tiny_models, store, port=holder.port):
            balancer.wait_for(2)
            client.post("/sessions/moves/steps", json={"seq": 3, "inputs": 5}).raise_for_status()


class Refusing:
    """A replica that is ready, counts what it is asked, and refuses or breaks off each request."""

    def __init__(self, how: str) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                asked.append(self.path)
                if how == "503":
                    self._answer(503)
                else:
                    self.close_connection = True

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Refusing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.parametrize(("how", "status"), [("503", 503), ("empty", 502)])
def test_only_what_stores_nothing_is_sent_twice(how: str, status: int, tmp_path: Path) -> None:
    """Twice at most, to one replica after the other; a step without seq could be applied twice."""
    with (
        Refusing(how) as one,
        Refusing(how) as two,
        Balancer([one.address, two.address], tmp_path / "log") as balancer,
    ):
        balancer.wait_for(2)
        # Each on a connection of its own: a later one on the same is closed without a word, so that clients
        # send again by themselves.
        for path in ("/forecast", "/sentiment", "/generate", "/steps", "/v1/completions"):
            assert httpx2.post(balancer.url + path, content=b"{}").status_code == status
            assert one.asked.count(path) == two.asked.count(path) == 1, path
        for path in ("/sessions", "/sessions/a/steps", "/sessions/steps", "/v2/models/m/infer"):
            assert httpx2.post(balancer.url + path, content=b"{}").status_code == status
            assert one.asked.count(path) + two.asked.count(path) == 1, path


def test_a_connection_that_is_refused_is_made_to_the_other_replica(
    replicas: tuple[ServerProcess, ServerProcess], balancer: Balancer
) -> None:
    """For whatever it was: nothing has been sent. A replica was killed, and it is not known yet."""
    with balancer.client() as client:
        replicas[0].kill()
        for number in range(6):
            body = {"task": "forecast", "id": f"after-{number}"}
            assert client.post("/sessions", json=body).status_code == 201


def test_without_a_replica_the_answer_is_a_problem_that_says_when_to_come_back(tmp_path: Path) -> None:
    """503 with Retry-After, and the balancer's own health says it too."""
    with (
        Balancer([free_address(), free_address()], tmp_path / "log") as balancer,
        balancer.client() as client,
    ):
        balancer.wait_for(0)
        answer = client.post("/forecast", json={"values": [1, 2], "horizon": 1})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 503
        assert httpx2.get(f"http://{balancer.status}/healthz").status_code == 503
