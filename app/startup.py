"""Serving in this process: its sockets, who could reach them, and what it says at the start."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Sequence

from app.core.errors import ConfigurationError
from app.edge.http.server import GracefulServer, bind, server_config
from app.engine.driver import share_interpreter
from app.main import Application, compose, version
from app.registry.unloaded import Siblings
from app.sessions.stores import shown
from app.settings import Settings
from app.telemetry.sharing import Share

logger = logging.getLogger("rnnserve")


def open_listeners(settings: Settings) -> tuple[Settings, list[socket.socket]]:
    """The settings with the admin port that was taken, and the sockets, the main one first.

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


def serve_here(
    settings: Settings,
    listeners: Sequence[socket.socket],
    announce: Callable[[str], None],
    share: Share | None = None,
    siblings: Siblings | None = None,
) -> None:
    """Serve until a signal, then drain. SIGHUP looks for models.

    ``announce`` is told what is served once requests are accepted; ``share`` and ``siblings`` are those of a
    worker, which leaves Ctrl-C, which every process of a terminal gets, to its supervisor.
    """
    # Until the server can answer it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    share_interpreter()
    application = compose(settings, share, siblings)
    text = greeting(application, settings, listeners[0].getsockname()[1])
    server = GracefulServer(
        server_config(application.asgi, settings.limits, settings.trusted_proxies),
        application.drain,
        lambda: announce(text),
        hangup=application.registry.wake,
        ahead=None if siblings is None else siblings.ahead,
    )
    server.run(sockets=list(listeners))


def greeting(application: Application, settings: Settings, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lines = [f"rnnserve {version()} on http://{host}:{port}  (docs at /docs, Ctrl-C ends)"]
    served = application.registry.served
    in_memory = [one.loaded for one in served.models.values() if one.loaded is not None]
    for one in in_memory:
        manifest = one.manifest
        default = "default" if served.catalog.defaults.get(manifest.task) == manifest.reference else ""
        lines.append(
            f"  {manifest.task:<10} {manifest.reference:<28} {manifest.network.cell:<5} "
            f"{settings.device:<5} {one.load_seconds:5.2f} s  {default}".rstrip()
        )
    if settings.load == "on-demand":
        lines.append(f"  {len(served.models) - len(in_memory)} models are loaded when they are needed")
    store = settings.session_store
    kept = "off" if store is None else f"{shown(store)} ({settings.durability})"
    workers = f"  {settings.workers} worker processes" if settings.workers > 1 else ""
    admin = "" if settings.admin_port is None else f"  admin port {settings.admin_port}"
    log = "a line for each answer" if settings.access_log else "off; --access-log logs a line for each answer"
    return "\n".join([*lines, f"  sessions   {kept}{workers}{admin}", f"  access log {log}"])
