"""A small client for sessions, for asyncio: retries with ``seq``, resumes streams and sockets.

    Client --HTTP--> Session.feed, fork, snapshot, ...
           --WebSocket--> Line: events of many sessions, several in flight

It knows the server by its wire alone.
"""

from rnnserve_client.http import Client, Retry, StepResult
from rnnserve_client.line import Line
from rnnserve_client.problems import Conflict, Gone, OutputLost, Problem, Unreachable
from rnnserve_client.session import Session

__all__ = [
    "Client",
    "Conflict",
    "Gone",
    "Line",
    "OutputLost",
    "Problem",
    "Retry",
    "Session",
    "StepResult",
    "Unreachable",
]
