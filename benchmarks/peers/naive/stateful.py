"""Stateful inference as people write it: the state in a dict (HTTP) or in the handler (WebSocket).

STEPPER=folder uvicorn stateful:app --port 8000
"""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from stepper import Stepper

app = FastAPI()
stepper = Stepper()
states: dict[str, np.ndarray] = {}


class StepRequest(BaseModel):
    """One event."""

    token: int


class StepResponse(BaseModel):
    """What is most likely next."""

    token: int


@app.post("/sessions/{id}/steps")
def step(id: str, request: StepRequest) -> StepResponse:
    """Advance a session by one event."""
    row = states.get(id, stepper.start)
    tokens, rows = stepper.step(np.array([request.token]), row[None])
    states[id] = rows[0]
    return StepResponse(token=int(tokens[0]))


@app.websocket("/sessions/{id}")
async def stream(socket: WebSocket, id: str) -> None:
    """Advance a session by one event a message."""
    await socket.accept()
    row = stepper.start[None]
    try:
        while True:
            message = await socket.receive_json()
            tokens, row = stepper.step(np.array([message["token"]]), row)
            await socket.send_json({"token": int(tokens[0])})
    except WebSocketDisconnect:
        pass
