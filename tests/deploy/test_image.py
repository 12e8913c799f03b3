"""The image, built and run for real where no container engine is. It takes minutes, so only when asked for:

    TEST_IMAGE=/var/tmp/rnnserve-images pytest tests/deploy/test_image.py

names the folder for it (gigabytes), as root, with Debian's packages buildah and debootstrap.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.container import Container, Image, inspected
from tests.e2e.server import REPOSITORY

STORAGE = os.environ.get("TEST_IMAGE", "")

pytestmark = pytest.mark.skipif(not STORAGE, reason="takes minutes; TEST_IMAGE=FOLDER runs it")


def buildah(*arguments: str) -> str:
    """Run it on the test's own storage."""
    storage = Path(STORAGE)
    command = ["buildah", "--storage-driver", os.environ.get("STORAGE_DRIVER", "vfs")]
    command += ["--root", str(storage / "root"), "--runroot", str(storage / "run"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image of the target cpu, built by the script and unpacked."""
    script = REPOSITORY / "deploy/build-with-buildah.sh"
    environment = {**os.environ, "STORAGE": STORAGE}
    built = subprocess.run([script, "cpu"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    name = built.stdout.splitlines()[-1]
    container = buildah("from", "--pull-never", name)
    try:
        root = Path(buildah("mount", container))
        yield Image(root, inspected(buildah("inspect", "--type", "image", name)))
        buildah("umount", container)
    finally:
        buildah("rm", container)


@pytest.fixture
def state(tmp_path: Path, image: Image) -> Path:
    """A volume of the image's user."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    os.chown(folder, int(image.user), int(image.user))
    tmp_path.chmod(0o711)
    return folder


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def test_it_holds_what_serving_needs_and_nothing_more(image: Image) -> None:
    """No compiler, no package installer, no network library of the training side; the bundles are there."""
    size = int(subprocess.check_output(["du", "-sm", image.root], text=True).split()[0])
    print(f"\nthe image is {size} MB")
    assert size < 700
    for program in ("gcc", "cc", "clang", "make", "pip", "pip3", "curl", "git"):
        for folder in ("usr/bin", "usr/local/bin", "opt/rnnserve/bin"):
            assert not os.path.lexists(image.root / folder / program), program
    (packages,) = image.root.glob("opt/rnnserve/lib/python3.*/site-packages")
    there = {path.name for path in packages.iterdir()}
    assert {"app", "onnxruntime", "numpy", "s3fs", "youplot"} <= there
    assert not there & {"torch", "onnx", "sklearn", "scipy", "pytest", "IPython", "pip", "setuptools"}
    assert sorted(path.name for path in (image.root / "models").iterdir()) == sorted(
        path.name for path in (REPOSITORY / "models").iterdir()
    )


def test_its_user_has_no_rights_and_its_entry_point_no_shell(image: Image, state: Path) -> None:
    """A number, so that an orchestrator can see that it is not root; signals reach the server itself."""
    assert image.user == "10001"
    assert image.config["Entrypoint"] == ["rnnserve"]
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["Volumes"] == {"/state": {}}
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.title"] == "rnnserve"
    assert (
        labels["org.opencontainers.image.version"] == image.run(state, "rnnserve", "version").stdout.strip()
    )
    assert image.run(state, "id", "-u").stdout == "10001\n"


def test_it_serves_from_a_read_only_root_and_drains_as_process_1(
    image: Image, state: Path, tmp_path: Path
) -> None:
    """Ready, healthy, answers, has no capabilities, and ends with 0 on SIGTERM."""
    with Container(image, state, free_port(), tmp_path / "log") as container:
        container.wait_until_ready()
        status = Path(f"/proc/{container.pid}/status").read_text()
        for line in ("NSpid:\t", "Uid:\t10001\t10001", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"):
            assert line in status
        assert status.split("NSpid:")[1].splitlines()[0].split()[-1] == "1"
        assert image.run(state, "touch", "/opt/file").returncode != 0
        assert container.check_health() == 0
        with container.client() as client:
            answer = client.post("/forecast", json={"values": [3, 5, 4, 6, 5, 7, 6, 8], "horizon": 2})
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["forecasts"][0]["mean"]) == 2
            assert {one["name"] for one in client.get("/models").json()["models"]} >= {"forecaster", "names"}
            assert client.get("/").status_code == 200
            client.post("/sessions", json={"task": "forecast", "id": "a"}).raise_for_status()
            client.post("/sessions/a/steps", json={"seq": 1, "inputs": [1, 2, 3]}).raise_for_status()
        assert container.stop() == 0, container.log
        assert container.check_health() == 1
    with Container(image, state, free_port(), tmp_path / "log") as container, container.client() as client:
        container.wait_until_ready()
        assert client.get("/sessions/a").json()["step"] == 3
        assert container.stop() == 0


def test_several_workers_do_with_it_too(image: Image, state: Path, tmp_path: Path) -> None:
    """They share metrics below /tmp and sessions below /state."""
    with Container(image, state, free_port(), tmp_path / "log", RNNSERVE_WORKERS="2") as container:
        container.wait_until_ready()
        until = time.monotonic() + 60
        with container.client() as client:
            # The first one answers while the second starts.
            while "rnnserve_workers 2.0" not in client.get("/metrics").text:
                assert time.monotonic() < until, container.log
                time.sleep(0.1)
        assert container.stop() == 0, container.log


def test_a_signal_that_comes_while_models_load_ends_it(image: Image, state: Path, tmp_path: Path) -> None:
    """A process 1 has no default for SIGTERM: without a handler of its own it would go on."""
    port = free_port()
    with Container(image, state, port, tmp_path / "log") as container:
        until = time.monotonic() + 60
        # It listens before it loads.
        while not listens(port):
            assert time.monotonic() < until, container.log
            time.sleep(0.02)
        assert container.stop() == 0, container.log
        assert "docs at" not in container.log


@pytest.mark.parametrize("program", ["buildah", "debootstrap", "unshare", "setpriv"])
def test_the_programs_are_there(program: str) -> None:
    """Who asks for these tests wants them run."""
    assert shutil.which(program) is not None
