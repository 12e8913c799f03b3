"""Closed-loop HTTP load by ``wrk``: one thread of C, so that the load costs the server little.

Its latencies are those of a closed loop; `rnnserve_bench` has the open one.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LONGEST_S = 16.0
# Every body in turn, and the summary as one line of JSON.
_SCRIPT = """
local requests = {}
local next = 0
local started
function init(args)
  for body in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, {["content-type"] = "application/json"}, body)
  end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
function done(summary, latency, requests)
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "wrong": %d, "lost": %d, "p50": %f, "p90": %f, "p99": %f}\\n',
    summary.requests, summary.duration / 1e6, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True, slots=True)
class Closed:
    """What one run saw; milliseconds.

    Attributes:
        wrong: answers with another status than 2xx or 3xx.
        lost: connections, reads, writes and time-outs that failed.
    """

    requests: int
    seconds: float
    wrong: int
    lost: int
    p50: float
    p90: float
    p99: float

    @property
    def per_s(self) -> float:
        """Good answers a second."""
        return (self.requests - self.wrong) / self.seconds


def find() -> str:
    """The executable.

    Raises:
        RuntimeError: it is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise RuntimeError("the measurement needs wrk (on Debian: apt install wrk)")
    return found


async def closed(url: str, bodies: Sequence[bytes], connections: int, seconds: float) -> Closed:
    """Keep so many requests in flight for so long; longer where nothing was answered in that time.

    Args:
        url: to post to.
        bodies: sent in turn; JSON without line breaks.
        connections: requests in flight.
        seconds: at least one.

    Raises:
        RuntimeError: wrk failed, or nothing was answered.
    """
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder) / "post.lua", Path(folder) / "bodies"
        script.write_text(_SCRIPT)
        lines.write_bytes(b"\n".join(bodies) + b"\n")
        command = [find(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        command += ["-s", str(script), url, "--", str(lines)]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
    text = output.decode(errors="replace")
    found = [line for line in text.splitlines() if line.startswith('{"requests"')]
    if process.returncode or not found:
        raise RuntimeError(f"wrk failed:\n{text}")
    result = Closed(**json.loads(found[-1]))
    if result.requests == 0 and seconds < _LONGEST_S:
        return await closed(url, bodies, connections, min(2 * max(1, round(seconds)), _LONGEST_S))
    if result.requests <= result.wrong:
        raise RuntimeError(f"{url} gave no good answer:\n{text}")
    return result
