"""``deploy/scale.conf`` starts what the compose file's profile scale starts, with the same settings."""

from __future__ import annotations

import configparser
import copy
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.balancer import FOLDER
from tests.deploy.manifests import DEPLOY, FLUSH_S, image_variables, read_yaml, seconds, settings_of
from tests.e2e.server import REPOSITORY

Document = dict[str, Any]
KEY = "k" * 32
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


def section(name: str) -> configparser.SectionProxy:
    """Of a program."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    parser.read(DEPLOY / "scale.conf")
    return parser[f"program:{name}"]


def script(name: str) -> str:
    """What a program's shell runs."""
    shell, flag, text = shlex.split(section(name)["command"])
    assert (shell, flag) == ("sh", "-c")
    return text


def check_replicas(services: Document) -> None:
    """The same settings but for places, as many of them, and as long to end."""
    service, ours = services["replica"], section("replica")
    assert service["deploy"]["replicas"] == int(ours["numprocs"])
    image = {name: value for name, value in image_variables().items() if name not in _GPU}
    theirs = settings_of({**image, **service["environment"], "RNNSERVE_STATE_KEY": KEY})
    given = dict(re.findall(r'(\w+)="(.*?)"', ours["environment"]))
    (sessions,) = re.findall(r'RNNSERVE_SESSIONS="(\S+)"', script("replica"))
    given |= {"RNNSERVE_SESSIONS": sessions.replace("${STORE_PORT:-6390}", "6390"), "RNNSERVE_STATE_KEY": KEY}
    exported = set(re.findall(r"(RNNSERVE_\w+)=", script("replica")))
    places = {f"RNNSERVE_{name.upper()}" for name in PLACES}
    assert (exported | set(given)) - places == set(service["environment"]) - places
    mine, others = settings_of(given).model_dump(), theirs.model_dump()
    differing = {name for name in mine if mine[name] != others[name]}
    assert differing - PLACES == {"sessions", "trusted_proxies"}
    assert mine["sessions"] == theirs.sessions.replace("store:6379", "127.0.0.1:6390")
    assert mine["host"] == mine["admin_host"] == "127.0.0.1"
    # Every client of a container is the balancer; here only this machine's are.
    assert (theirs.trusted_proxies, mine["trusted_proxies"]) == ("*", "127.0.0.1")
    assert float(ours["stopwaitsecs"]) == seconds(service["stop_grace_period"]) >= theirs.grace_s + FLUSH_S


def check_store(services: Document) -> None:
    """The same options, and as long to end; only this machine reaches it."""
    program, *options = services["store"]["command"]
    assert program == "valkey-server"
    words = shlex.split(script("store"))
    begins = words.index(options[0])
    assert words[begins : begins + len(options)] == options
    assert words[begins + len(options) :][:2] == ["--bind", "127.0.0.1"]
    assert seconds(services["store"]["stop_grace_period"]) == float(section("store")["stopwaitsecs"])


def check_balancer(services: Document) -> None:
    """The same first file and the other second one, the published port, and variables that they read."""
    service, text = services["load-balancer"], script("load-balancer")
    theirs = [Path(word).name for word in service["command"] if word != "-f"]
    ours = re.findall(r"-f (\S+)", text)
    assert (theirs, ours) == (["haproxy.cfg", "replicas-dns.cfg"], ["haproxy.cfg", "replicas-two.cfg"])
    assert section("load-balancer")["directory"] == "%(here)s/load-balancer"
    read = "".join((FOLDER / name).read_text() for name in ours)
    exported = set(re.findall(r'(\w+)="', text)) - {"PATH"}
    assert exported | {"LB_STATUS"} == set(re.findall(r'"\$\{(\w+)', read))
    assert seconds(service["stop_grace_period"]) == float(section("load-balancer")["stopwaitsecs"])
    (published,) = service["ports"]
    (port,) = re.findall(r"LB_LISTEN:-127\.0\.0\.1:(\d+)", text)
    assert published == f"${{PUBLISH_ADDRESS:-127.0.0.1}}:{port}:{port}"


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
    profile = {name for name, one in services.items() if one.get("profiles") == ["scale"]}
    assert profile == {"replica", "store", "load-balancer"}
    for name in profile:
        assert section(name)["autorestart"] == "true"


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
    with pytest.raises((AssertionError, IndexError, ValueError)):
        CHECKS[name](services)
