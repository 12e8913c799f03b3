"""A container without an engine: an image's folder, run in namespaces of its own as its configuration says.

What an engine would do for the compose file is done here with util-linux: the first process of its own
process table, a root file system that cannot be written to, a /tmp in memory, the image's user and
variables, no capabilities, and no new privileges. The network is this machine's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

# $0 is the root folder, $1 the folder that becomes /state, $2 the user's number, the rest a command.
_ENTER = """
set -eu
root=$0 state=$1 user=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for node in null zero random urandom; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm"; mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount --bind "$state" "$root/state"
exec chroot "$root" \\
    setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs --bounding-set=-all -- "$@"
"""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that has been unpacked.

    Attributes:
        root: its file system; mounted read-only where it is run.
        config: of the image, as ``docker inspect`` shows it.
    """

    root: Path
    config: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """The variables it sets."""
        return dict(variable.split("=", 1) for variable in self.config["Env"])

    @property
    def user(self) -> str:
        """The number of its user."""
        return str(self.config["User"]).partition(":")[0]

    def command(self, state: Path, arguments: list[str], variables: Mapping[str, str]) -> list[str]:
        """How to run ``arguments`` in it, from outside."""
        environment = [f"{name}={value}" for name, value in {**self.environment, **variables}.items()]
        inside = ["env", "-i", *environment, *arguments]
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER]
        return [*enter, str(self.root), str(state), self.user, *inside]

    def run(self, state: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of its own and wait for its end."""
        return subprocess.run(
            self.command(state, list(arguments), variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


class Container:
    """The image's own entry point, as process 1; a context manager that ends it.

    Args:
        image: to run.
        state: the folder that is its volume.
        port: on which it shall listen.
        log: file for what it writes.
        variables: besides those of the image.
    """

    def __init__(self, image: Image, state: Path, port: int, log: Path, **variables: str) -> None:
        self.image = image
        self.url = f"http://127.0.0.1:{port}"
        self.variables = {"RNNSERVE_PORT": str(port), **variables}
        self._state = state
        self._log = log
        arguments = [*image.config["Entrypoint"], *image.config["Cmd"]]
        with log.open("w") as output:
            self._process = subprocess.Popen(
                image.command(state, arguments, self.variables), stdout=output, stderr=output
            )

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Of process 1, as seen from outside."""
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(listed[0])

    def client(self) -> httpx2.Client:
        """An HTTP client for it."""
        return httpx2.Client(base_url=self.url, timeout=60)

    def wait_until_ready(self, timeout_s: float = 120.0) -> None:
        """Block until ``/readyz`` answers 200."""
        until = time.monotonic() + timeout_s
        with self.client() as client:
            while True:
                assert self._process.poll() is None, self.log
                assert time.monotonic() < until, self.log
                try:
                    if client.get("/readyz").status_code == 200:
                        return
                except httpx2.TransportError:
                    pass
                time.sleep(0.1)

    def check_health(self) -> int:
        """The exit status of the image's health check, run as an engine runs it."""
        test = list(self.image.config["Healthcheck"]["Test"])
        assert test.pop(0) == "CMD"
        return self.image.run(self._state, *test, **self.variables).returncode

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Signal process 1 and return its exit status."""
        os.kill(self.pid, number)
        return self._process.wait(timeout_s)

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            # Process 1 takes all others of its table with it.
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait(30)


def inspected(text: str) -> Mapping[str, Any]:
    """The configuration in what ``buildah inspect`` prints."""
    found: dict[str, Any] = json.loads(text)["Docker"]["config"]
    return found
