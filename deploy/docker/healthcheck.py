"""Whether the server of this container is worth keeping: exit status 0 when ``/healthz`` answers 200.

It runs every few seconds beside the server, so it imports next to nothing. The port is found where the
server finds it: ``RNNSERVE_PORT``, then the settings file that ``RNNSERVE_CONFIG`` names, then 8000.
A flag behind ``serve`` is not seen here; set the variable.
"""

from __future__ import annotations

import http.client
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_WILDCARDS = ("", "0.0.0.0", "::")
_TIMEOUT_S = 2.0


def address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Host and port at which the server of these variables listens."""
    file: dict[str, Any] = {}
    if environment.get("RNNSERVE_CONFIG"):
        file = tomllib.loads(Path(environment["RNNSERVE_CONFIG"]).read_text("utf-8"))
    host = environment.get("RNNSERVE_HOST") or file.get("host", "127.0.0.1")
    port = environment.get("RNNSERVE_PORT") or file.get("port", 8000)
    return "127.0.0.1" if host in _WILDCARDS else host, int(port)


def healthy(environment: Mapping[str, str]) -> bool:
    """Whether it answers, and well."""
    connection = http.client.HTTPConnection(*address(environment), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    raise SystemExit(0 if healthy(os.environ) else 1)
