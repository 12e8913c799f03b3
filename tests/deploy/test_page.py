"""docs/deployment.md names files, arguments, variables and ports that there are."""

from __future__ import annotations

import re

from tests.deploy.manifests import DEPLOY, DOCKERFILE
from tests.e2e.server import REPOSITORY

PAGE = (REPOSITORY / "docs/deployment.md").read_text()
COMPOSE = (REPOSITORY / "docker-compose.yml").read_text()


def test_files_are_there() -> None:
    """Those of the repository, in prose and in commands."""
    named = set(re.findall(r"(?<![\w/.])((?:deploy|tests)/[\w./-]+\w)", PAGE))
    assert len(named) >= 8
    assert not [name for name in named if not (REPOSITORY / name).exists()]
    for name in re.findall(
        r"^\| `([\w./-]+)` \|", PAGE[PAGE.index("in `deploy/kubernetes/`") :], re.MULTILINE
    )[:3]:
        assert (DEPLOY / "kubernetes" / name).exists(), name


def test_build_arguments_and_targets_are_the_dockerfiles() -> None:
    """With their defaults."""
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    assert f"| `PYTHON_IMAGE` | `{arguments['PYTHON_IMAGE']}` |" in PAGE
    assert f"| `EXTRAS` | `{arguments['EXTRAS']}` |" in PAGE
    named = set(re.findall(r"`([A-Z_]+)`", "".join(re.findall(r"^\| `[A-Z].*", PAGE, re.MULTILINE))))
    assert named == set(arguments)
    assert set(re.findall(r"--target (\w+)", PAGE)) <= set(
        re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE)
    )


def test_ports_and_variables_are_those_of_compose() -> None:
    """Whoever follows the page finds them."""
    for port in re.findall(r"on port (\d+)", PAGE):
        assert f":{port}:{port}" in COMPOSE or f'RNNSERVE_ADMIN_PORT: "{port}"' in COMPOSE, port
    for variable in re.findall(r"\b(PUBLISH_ADDRESS|RNNSERVE_STATE_KEY|GRAFANA_PASSWORD)=", PAGE):
        assert f"${{{variable}:-" in COMPOSE
