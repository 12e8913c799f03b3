"""A small client for sessions, for asyncio: retries with ``seq``, resumes streams and sockets.

    Client --HTTP--> Session.feed, fork, snapshot, ...
           --WebSocket--> Line: events of many sessions, several in flight

It knows the server by its wire alone. Install it with ``pip install 'rnnserve[client]'``.
"""

from app.client.http import Client, Retry, StepResult
from app.client.line import Line
from app.client.problems import Conflict, Gone, OutputLost, Problem, Unreachable
from app.client.session import Session

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
