"""The compose file agrees with its schema, the settings, the image, and the files it mounts."""

from __future__ import annotations

import copy
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from app.core.errors import ConfigurationError
from app.sessions.stores import open_store
from tests.deploy.manifests import (
    DEPLOY,
    DOCKERFILE,
    FLUSH_S,
    ROUTES,
    image_variables,
    read_yaml,
    seconds,
    settings_of,
)
from tests.e2e.server import REPOSITORY
from tests.redis_server import find_binary

Document = dict[str, Any]
SERVERS = ("rnnserve", "replica")
PUBLISHED = "${PUBLISH_ADDRESS:-127.0.0.1}"


@pytest.fixture
def compose() -> Document:
    """The parsed compose file."""
    document: Document = read_yaml(REPOSITORY / "docker-compose.yml")
    return document


@pytest.fixture
def prometheus() -> Document:
    """The configuration of Prometheus that it mounts."""
    document: Document = read_yaml(DEPLOY / "prometheus.yml")
    return document


def interpolated(value: str) -> str:
    """A value where no variable is set: its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def variables(service: Document, **given: str) -> dict[str, str]:
    """The variables that a server of it is started with, the image's included."""
    found = {name: interpolated(value) for name, value in service["environment"].items()}
    return {**image_variables(), **found, **given}


def check_servers(compose: Document) -> None:
    """Variables are settings, published ports are those it listens on, a stop is longer than a drain."""
    for name in SERVERS:
        service = compose["services"][name]
        settings = settings_of(variables(service, RNNSERVE_STATE_KEY="k" * 16))
        assert seconds(service["stop_grace_period"]) >= settings.grace_s + FLUSH_S, name
        ports = [port.replace(PUBLISHED, "").strip(":") for port in service.get("ports", [])]
        assert ports == ([f"{settings.port}:{settings.port}"] if name == "rnnserve" else []), name
        assert settings.admin_port is not None
        assert settings.admin_host == "0.0.0.0"


def check_scrape(prometheus: Document, compose: Document) -> None:
    """Every target is a server's port that answers metrics, under a path that is a route."""
    (job,) = prometheus["scrape_configs"]
    assert job["metrics_path"] in ROUTES
    targets = [target for group in job["static_configs"] for target in group["targets"]]
    targets += [f"{name}:{group['port']}" for group in job["dns_sd_configs"] for name in group["names"]]
    expected = []
    for name in SERVERS:
        settings = settings_of(variables(compose["services"][name], RNNSERVE_STATE_KEY="k" * 16))
        expected.append(f"{name}:{settings.port if settings.admin_port is None else settings.admin_port}")
    assert sorted(targets) == sorted(expected)


def check_hardening(compose: Document) -> None:
    """No service may write to its root file system or has more rights than it needs; all are bounded."""
    for name, service in compose["services"].items():
        assert service.get("read_only") is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert set(service["deploy"]["resources"]["limits"]) >= {"cpus", "memory"}, name
        assert name in SERVERS or service["healthcheck"]["test"][0] == "CMD", name


def check_ports(compose: Document) -> None:
    """All is published for this machine alone, unless asked otherwise for what is for clients."""
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert interpolated(port).startswith("127.0.0.1:"), name
            assert port.startswith(PUBLISHED) == (name in ("rnnserve", "load-balancer")), name


def check_references(compose: Document) -> None:
    """Mounts, volumes, networks and dependencies are there; a dependency is started with what needs it."""
    services = compose["services"]
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            # A source that is missing would become an empty folder.
            assert source in compose["volumes"] or (REPOSITORY / source).exists(), mount
            assert source in compose["volumes"] or mount.endswith(":ro"), mount
        assert set(service.get("networks", [])) <= {*compose["networks"], "default"}, name
        for other, how in service.get("depends_on", {}).items():
            assert set(services[other].get("profiles", [])) <= set(service.get("profiles", [])), name
            assert other in SERVERS or "healthcheck" in services[other], other
            assert how == {"condition": "service_healthy"}, name
    used = {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])}
    assert set(compose["volumes"]) == {source for source in used if not source.startswith(".")}


CHECKS: dict[str, Callable[[Document], None]] = {
    "servers": check_servers,
    "hardening": check_hardening,
    "ports": check_ports,
    "references": check_references,
}


@pytest.mark.parametrize("name", CHECKS)
def test_it_passes(name: str, compose: Document) -> None:
    """Each of the checks above."""
    CHECKS[name](compose)


def test_prometheus_scrapes_each_server_where_its_metrics_are(
    prometheus: Document, compose: Document
) -> None:
    """Also the replicas, of which there may be any number."""
    check_scrape(prometheus, compose)
    (name,) = prometheus["rule_files"]
    assert f"./deploy/{name}:/etc/prometheus/{name}:ro" in compose["services"]["prometheus"]["volumes"]


MISTAKES: list[tuple[str, Callable[[Document], Any]]] = [
    ("servers", lambda c: c["services"]["rnnserve"]["environment"].update(RNNSERVE_GRACE_SECONDS="3")),
    ("servers", lambda c: c["services"]["replica"]["environment"].update(RNNSERVE_GRACE_S="60")),
    ("servers", lambda c: c["services"]["rnnserve"].update(ports=["8001:8001"])),
    ("servers", lambda c: c["services"]["replica"].update(ports=["8000:8000"])),
    ("hardening", lambda c: c["services"]["grafana"].pop("read_only")),
    ("hardening", lambda c: c["services"]["store"].update(cap_add=["SETUID"])),
    ("ports", lambda c: c["services"]["prometheus"].update(ports=["9090:9090"])),
    ("references", lambda c: c["services"]["prometheus"]["volumes"].append("./deploy/rules.yml:/r.yml:ro")),
    ("references", lambda c: c["services"]["rnnserve"].update(depends_on={"store": {}})),
    ("references", lambda c: c["volumes"].update(unused=None)),
]
"""A check, and a change of the file that it must find."""


@pytest.mark.parametrize(("name", "change"), MISTAKES)
def test_a_mistake_is_found(name: str, change: Callable[[Document], Any], compose: Document) -> None:
    """The checks can fail."""
    # The file's anchors make one object of many.
    wrong = copy.deepcopy(compose)
    for service in wrong["services"].values():
        service["environment"] = dict(service.get("environment", {}))
    change(wrong)
    with pytest.raises(AssertionError):
        CHECKS[name](wrong)


@pytest.mark.parametrize("port", ["8000", "9001"])
def test_a_target_that_is_not_the_servers_port_is_found(
    port: str, prometheus: Document, compose: Document
) -> None:
    """The check of the targets can fail; the main port has no metrics while there is an admin port."""
    prometheus["scrape_configs"][0]["static_configs"] = [{"targets": [f"rnnserve:{port}"]}]
    with pytest.raises(AssertionError):
        check_scrape(prometheus, compose)


def test_it_is_valid_by_the_compose_specification() -> None:
    """Its JSON schema, as check-jsonschema carries it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    result = subprocess.run(
        [*command, "docker-compose.yml"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_it_builds_a_target_that_there_is(compose: Document) -> None:
    """The same image for both."""
    for name in SERVERS:
        build = compose["services"][name]["build"]
        assert f" AS {build['target']}\n" in DOCKERFILE
        assert (REPOSITORY / build["context"] / "Dockerfile").exists()


def test_state_is_kept_where_the_server_writes(compose: Document) -> None:
    """A volume for sessions in LMDB; a folder in memory, of the image's user, where they are in the store."""
    folder = image_variables()["RNNSERVE_STATE_DIR"]
    assert f"state:{folder}" in compose["services"]["rnnserve"]["volumes"]
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    (memory,) = [mount for mount in compose["services"]["replica"]["tmpfs"] if mount.startswith(folder)]
    assert f"uid={user},gid={user}" in memory
    for name in SERVERS:
        assert "/tmp" in compose["services"][name]["tmpfs"]
        assert f"./models:{image_variables()['RNNSERVE_MODELS']}:ro" in compose["services"][name]["volumes"]


def test_without_a_state_key_replicas_say_so(compose: Document) -> None:
    """Each would draw its own, and refuse the states of the others."""
    with pytest.raises(ConfigurationError, match=r"state-key: .* at least 16 "):
        settings_of(variables(compose["services"]["replica"]))


def test_the_profile_scale_adds_a_balancer_replicas_and_their_store(compose: Document) -> None:
    """And `docker compose up` alone starts none of them."""
    scaled = {name for name, service in compose["services"].items() if "profiles" in service}
    assert scaled == {"replica", "load-balancer", "store"}
    assert {tuple(compose["services"][name]["profiles"]) for name in scaled} == {("scale",)}
    assert compose["services"]["replica"]["deploy"]["replicas"] >= 2
    assert compose["networks"]["store"] == {"internal": True}
    assert compose["services"]["store"]["networks"] == ["store"]


@pytest.fixture
def store_port(compose: Document, tmp_path: Path) -> Iterator[int]:
    """A Valkey that is started by the file's own command, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = list(compose["services"]["store"]["command"])
    assert command.pop(0) == "valkey-server"
    process = subprocess.Popen(
        [find_binary("valkey"), *command, "--port", str(port), "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    yield port
    process.terminate()
    process.wait(30)


def test_the_stores_command_makes_a_store_that_sessions_can_use(store_port: int, compose: Document) -> None:
    """A real one: it starts, forgets nothing by itself, and keeps its file."""
    client = redis.Redis(port=store_port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 100))
    client.ping()
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client.config_get("append*")["appendonly"] == "yes"
    assert client.config_get("save") == {"save": ""}
    address = settings_of(
        variables(compose["services"]["replica"], RNNSERVE_STATE_KEY="k" * 16)
    ).session_store
    assert address is not None
    assert address.startswith("redis://store:6379/")
    store = open_store(address.replace("store:6379", f"127.0.0.1:{store_port}"), max_sessions=10)
    store.close()
    client.close()


def test_grafana_finds_what_it_is_given(compose: Document) -> None:
    """The provisioned folders and the home dashboard are mounted where they are looked for."""
    service = compose["services"]["grafana"]
    mounts = dict(mount.split(":")[:2] for mount in service["volumes"])
    folders = {target: source for source, target in mounts.items()}
    home = Path(service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (REPOSITORY / folders[str(home.parent)] / home.name).exists()
    (provider,) = read_yaml(DEPLOY / "grafana/provisioning/dashboards/rnnserve.yml")["providers"]
    assert provider["options"]["path"] in folders
    (source,) = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert compose["services"]["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]


def test_images_of_others_are_pinned(compose: Document) -> None:
    """By a version, so that two machines run the same."""
    for name, service in compose["services"].items():
        assert name in SERVERS or re.search(r":v?\d+\.\d+", service["image"]), name
