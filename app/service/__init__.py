"""The one inference path for every transport: admit, prepare, submit, finish, time, count.

Routes and sockets translate to and from this; nothing else decides anything about a request.
"""

from app.protocols.openai.completion_stream import CompletionStream
from app.service.call import RequestObserver, Timing
from app.service.generation import GenerationStream
from app.service.inference import Deployment, InferenceService
from app.sessions.service import SessionService
from app.sessions.step_line import StepCall, StepClock

__all__ = [
    "CompletionStream",
    "Deployment",
    "GenerationStream",
    "InferenceService",
    "RequestObserver",
    "SessionService",
    "StepCall",
    "StepClock",
    "Timing",
]
