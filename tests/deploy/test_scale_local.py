"""``deploy/scale_local.py`` starts what the compose file's profile scale starts, with the same settings."""

from __future__ import annotations

import copy
import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scale_local
import scale_services
from local_process import Trouble

from tests.deploy.balancer import FOLDER
from tests.deploy.manifests import DEPLOY, FLUSH_S, image_variables, read_yaml, seconds, settings_of
from tests.e2e.server import REPOSITORY

Document = dict[str, Any]
KEY = "k" * 32
PORTS = scale_services.Ports(8080, 8404, 6379, (8001, 8002), (9001, 9002))
# Of the target that compose does not build.
_GPU = {"RNNSERVE_DEVICE"}
# What differs on one machine: where each listens, which bundles, and whom a replica trusts.
PLACES = {"host", "port", "admin_host", "admin_port", "models", "models_cache", "state_dir", "log_format"}


@pytest.fixture
def services() -> Document:
    """Of the compose file, with its anchors resolved to objects of their own."""
    found: Document = copy.deepcopy(read_yaml(REPOSITORY / "docker-compose.yml")["services"])
    found["replica"]["environment"] = dict(found["replica"]["environment"])
    return found


def check_replicas(services: Document) -> None:
    """The same settings but for places, as many of them, and as long to end."""
    service = services["replica"]
    assert service["deploy"]["replicas"] == len(scale_services.REPLICAS)
    image = {name: value for name, value in image_variables().items() if name not in _GPU}
    theirs = settings_of({**image, **service["environment"], "RNNSERVE_STATE_KEY": KEY})
    variables = [scale_services.replica_variables(PORTS, place, KEY) for place in (0, 1)]
    places = {f"RNNSERVE_{name.upper()}" for name in PLACES}
    assert set(variables[0]) - places == set(service["environment"]) - places
    for place, given in enumerate(variables):
        ours = settings_of(given)
        mine, others = ours.model_dump(), theirs.model_dump()
        differing = {name for name in mine if mine[name] != others[name]}
        assert differing - PLACES == {"sessions", "trusted_proxies"}
        assert ours.sessions == theirs.sessions.replace("store:6379", f"127.0.0.1:{PORTS.store}")
        assert (ours.port, ours.admin_port) == (PORTS.replicas[place], PORTS.admin[place])
        assert ours.host == ours.admin_host == "127.0.0.1"
        # Every client of a container is the balancer; here only this machine's are.
        assert (theirs.trusted_proxies, ours.trusted_proxies) == ("*", "127.0.0.1")
    assert scale_services.REPLICA_STOP_S == seconds(service["stop_grace_period"]) >= theirs.grace_s + FLUSH_S


def check_store(services: Document) -> None:
    """The same options, and as long to end; only this machine reaches it."""
    program, *options = services["store"]["command"]
    assert program == "valkey-server"
    command = scale_services.store_command("valkey-server", PORTS.store, Path("/kept"))
    assert command[: 1 + len(options)] == [program, *options]
    assert command[1 + len(options) :] == ["--bind", "127.0.0.1", "--port", "6379", "--dir", "/kept"]
    assert seconds(services["store"]["stop_grace_period"]) == scale_services.STORE_STOP_S


def check_balancer(services: Document) -> None:
    """The same first file and the other second one, the published port, and variables that they read."""
    service = services["load-balancer"]
    theirs = [Path(word).name for word in service["command"] if word != "-f"]
    assert theirs[0] == scale_services.BALANCER_FILES[0]
    assert (theirs[1], scale_services.BALANCER_FILES[1]) == ("replicas-dns.cfg", "replicas-two.cfg")
    command = scale_services.balancer_command("haproxy")
    assert [Path(word).parent for word in command[3::2]] == [FOLDER, FOLDER]
    assert all(Path(word).exists() for word in command[3::2])
    given = scale_services.balancer_variables(PORTS, "127.0.0.1")
    read = "".join((FOLDER / name).read_text() for name in scale_services.BALANCER_FILES)
    assert set(given) == set(re.findall(r'"\$\{(\w+)', read))
    assert {given["REPLICA_1"], given["REPLICA_2"]} == {"127.0.0.1:8001", "127.0.0.1:8002"}
    assert seconds(service["stop_grace_period"]) == scale_services.BALANCER_STOP_S
    (published,) = service["ports"]
    assert published.replace("${PUBLISH_ADDRESS:-127.0.0.1}", "127.0.0.1") == (
        f"{given['LB_LISTEN']}:{scale_services.BALANCER_PORT}"
    )
    assert re.findall(r"^    server (\w+)", (FOLDER / "replicas-two.cfg").read_text(), re.MULTILINE) == [
        *scale_services.REPLICAS,
        *scale_services.REPLICAS,
    ]


CHECKS: dict[str, Callable[[Document], None]] = {
    "replicas": check_replicas,
    "store": check_store,
    "balancer": check_balancer,
}


@pytest.mark.parametrize("name", CHECKS)
def test_it_starts_what_compose_starts(name: str, services: Document) -> None:
    """Each of the checks above."""
    CHECKS[name](services)


def test_it_starts_every_service_of_the_profile(services: Document) -> None:
    """And there are checks for each."""
    assert {name for name, one in services.items() if one.get("profiles") == ["scale"]} == {
        "replica",
        "store",
        "load-balancer",
    }


DRIFTS: list[tuple[str, Callable[[Document], Any]]] = [
    ("replicas", lambda s: s["replica"]["environment"].update(RNNSERVE_GRACE_S="10")),
    ("replicas", lambda s: s["replica"]["environment"].update(RNNSERVE_DURABILITY="power")),
    ("replicas", lambda s: s["replica"]["environment"].pop("RNNSERVE_TRUSTED_PROXIES")),
    ("replicas", lambda s: s["replica"]["environment"].update(RNNSERVE_SESSIONS="redis://store:6379/1")),
    ("replicas", lambda s: s["replica"]["deploy"].update(replicas=3)),
    ("replicas", lambda s: s["replica"].update(stop_grace_period="60s")),
    ("store", lambda s: s["store"]["command"].extend(["--appendfsync", "always"])),
    ("store", lambda s: s["store"]["command"].remove("noeviction")),
    ("balancer", lambda s: s["load-balancer"].update(ports=["127.0.0.1:8081:8081"])),
    ("balancer", lambda s: s["load-balancer"].update(command=["-f", "/x/haproxy.cfg"])),
]
"""A check, and a change of the compose file that it must find."""


@pytest.mark.parametrize(("name", "change"), DRIFTS)
def test_a_drift_is_found(name: str, change: Callable[[Document], Any], services: Document) -> None:
    """The checks can fail."""
    change(services)
    with pytest.raises((AssertionError, IndexError)):
        CHECKS[name](services)


def test_replicas_get_ports_that_outgoing_connections_do_not_take() -> None:
    """Else one that is started again may find its own taken."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = scale_services.Ports.free("127.0.0.1", 0)
    found = [ports.balancer, ports.status, ports.store, *ports.replicas, *ports.admin]
    assert len(set(found)) == 7
    assert max(found) < first


def run(*words: str, **variables: str) -> tuple[int, str]:
    """The script, to its end; exit status and what it wrote to the second stream."""
    done = subprocess.run(
        [sys.executable, DEPLOY / "scale_local.py", *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def test_it_says_what_hinders_it(tmp_path: Path) -> None:
    """In one line: a port that is taken, a folder in use, a program that is missing, nothing to restart."""
    folder = ("--folder", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run("--port", port, *folder) == (
            1,
            f"scale_local: 127.0.0.1:{port}: Address already in use; take another --port\n",
        )
    assert run("--rolling-restart", *folder) == (1, f"scale_local: none runs in {tmp_path}\n")
    if shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin") is None:
        status, text = run("--port", "0", *folder, PATH="/nowhere")
        assert (status, "haproxy is not installed" in text) == (1, True)
        return
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        status, text = run("--port", "0", *folder)
        assert (status, text.count("\n")) == (1, 1)
        assert f"{tmp_path} is in use" in text


def test_the_state_key_is_kept_and_nobody_elses_to_read(tmp_path: Path) -> None:
    """The same at the next start, as long as the settings ask for."""
    path = tmp_path / "state-key"
    key = scale_local.kept_key(path)
    assert scale_local.kept_key(path) == key
    assert len(key) == 64
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_missing_program_is_named_with_its_package() -> None:
    """For whoever wants to install it."""
    with pytest.raises(Trouble, match=r"no-such-thing is not installed \(Debian: apt install it\)"):
        scale_services.found("no-such-thing", "Debian: apt install it")
