"""The container files agree with the settings, the ports and the routes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.routing import Route

from app.api import health, metrics
from app.settings import ENV_PREFIX, Settings, load_settings

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ROUTES = {
    route.path for module in (health, metrics) for route in module.router.routes if isinstance(route, Route)
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The parsed compose file."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def variables(text: str) -> dict[str, str]:
    """The ``RNNSERVE_*`` variables that a Dockerfile sets."""
    return dict(re.findall(rf"({ENV_PREFIX}\w+)=(\S+)", text))


def test_the_image_sets_only_settings_and_their_values_are_valid() -> None:
    """A variable that is no setting would be ignored at run time."""
    given = {name.removeprefix(ENV_PREFIX).lower(): value for name, value in variables(DOCKERFILE).items()}
    assert set(given) <= set(Settings.model_fields)
    settings = load_settings(**given)
    assert settings.host == "0.0.0.0"
    assert str(settings.models) == "/models"


def test_the_image_exposes_and_probes_the_port_it_serves() -> None:
    """One number in three places, and a route that exists."""
    port = variables(DOCKERFILE)["RNNSERVE_PORT"]
    assert f"EXPOSE {port}" in DOCKERFILE
    (probed,) = re.findall(rf"http://127\.0\.0\.1:{port}(/\w+)", DOCKERFILE)
    assert probed in ROUTES


def test_the_image_has_no_torch_and_no_rights() -> None:
    """It installs the serving dependencies only and does not run as root."""
    assert "pip install --no-cache-dir ." in DOCKERFILE
    assert "[training]" not in DOCKERFILE
    user = DOCKERFILE.rindex("USER 10001")
    assert user < DOCKERFILE.index("ENTRYPOINT")


def test_what_the_image_copies_is_there_and_is_not_ignored() -> None:
    """Each COPY names a path of the repository that the build context keeps."""
    kept = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert source in kept


def test_the_python_of_the_image_is_one_the_project_allows() -> None:
    """And the newest of those that the Makefile looks for."""
    (minor,) = re.findall(r"PYTHON_IMAGE=python:3\.(\d+)-slim", DOCKERFILE)
    assert 11 <= int(minor) < 14


def test_compose_publishes_the_port_and_gives_the_drain_its_time(compose: dict[str, Any]) -> None:
    """The stop period is longer than the grace time; variables are settings."""
    service = compose["services"]["rnnserve"]
    port = variables(DOCKERFILE)["RNNSERVE_PORT"]
    assert service["ports"] == [f"{port}:{port}"]
    given = {name.removeprefix(ENV_PREFIX).lower(): value for name, value in service["environment"].items()}
    settings = load_settings(**given)
    assert int(service["stop_grace_period"].removesuffix("s")) > settings.grace_s
    assert service["read_only"] is True


def test_compose_mounts_files_that_exist(compose: dict[str, Any]) -> None:
    """A missing source would become an empty folder."""
    for service in compose["services"].values():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists(), mount


def test_sessions_are_kept_where_the_container_may_write(compose: dict[str, Any]) -> None:
    """The root file system is read-only; the state folder is a volume that the user owns."""
    folder = variables(DOCKERFILE)["RNNSERVE_STATE_DIR"]
    assert f"VOLUME {folder}" in DOCKERFILE
    assert f"install -d -o 10001 {folder}" in DOCKERFILE
    assert f"state:{folder}" in compose["services"]["rnnserve"]["volumes"]


def test_prometheus_scrapes_the_service_where_it_is(compose: dict[str, Any]) -> None:
    """Host and port are the compose service's, the path is a route."""
    config = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert host in compose["services"]
    assert port == variables(DOCKERFILE)["RNNSERVE_PORT"]
    assert job["metrics_path"] in ROUTES
