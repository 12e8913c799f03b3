"""A small client of a server of rnnserve, for asyncio and without it. It knows the server by its wire alone.

    Client, SyncClient --HTTP--> answers of every task; Session.feed, fork, snapshot, ...
    Client.connect     --WebSocket--> Line: events of many sessions, several in flight

Calls are sent again where that is safe, sessions are fed exactly once by ``seq``, and streams and sockets
are resumed.
"""

from rnnserve_client.client import Client, StepResult
from rnnserve_client.line import Line
from rnnserve_client.problems import Conflict, Gone, OutputLost, Problem, Unreachable
from rnnserve_client.retry import Retry
from rnnserve_client.session import Session
from rnnserve_client.sync import SyncClient, SyncSession
from rnnserve_client.tables import to_pandas

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
    "SyncClient",
    "SyncSession",
    "Unreachable",
    "to_pandas",
]
