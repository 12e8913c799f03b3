"""What a server says and checks before it serves: its sockets, and who could reach them."""

from __future__ import annotations

import ipaddress
import logging
import socket

from app.core.errors import ConfigurationError
from app.edge.http.server import bind
from app.settings import Settings

logger = logging.getLogger("rnnserve")


def open_listeners(settings: Settings) -> tuple[Settings, list[socket.socket]]:
    """Listen on the port, and on the admin port where there is one.

    Returns:
        The settings with the admin port that was taken, and the sockets, the main one first.

    Raises:
        ConfigurationError: a port is taken, or both are the same, or a setting is missing.
    """
    if settings.keys is None:
        for name in ("key_requests_per_s", "key_steps_per_s", "key_max_sessions"):
            if getattr(settings, name) is not None:
                flag = name.replace("_", "-")
                raise ConfigurationError(f"--{flag} bounds what a key may do, so it needs --keys")
    if settings.admin_port and settings.admin_port == settings.port:
        raise ConfigurationError("--admin-port and --port must be two ports")
    listeners = [bind(settings.host, settings.port)]
    if settings.admin_port is not None:
        try:
            listeners.append(bind(settings.admin_host, settings.admin_port))
        except ConfigurationError:
            listeners[0].close()
            raise
        settings = settings.model_copy(update={"admin_port": listeners[1].getsockname()[1]})
    _warn(settings, listeners)
    return settings, listeners


def _warn(settings: Settings, listeners: list[socket.socket]) -> None:
    if settings.keys is not None:
        return
    for listener, flag in zip(listeners, ("--host", "--admin-host"), strict=False):
        address = listener.getsockname()[0]
        if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            what = "load models" if flag == "--admin-host" else "use the service and read all sessions"
            logger.warning(
                "%s %s is reachable from other machines and no keys are set: whoever reaches it may %s; "
                "see docs/security.md",
                flag,
                address,
                what,
            )
