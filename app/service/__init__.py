"""The one inference path for every transport: admit, prepare, submit, finish, time, count.

Routes and sockets translate to and from this; nothing else decides anything about a request.
"""

from app.service.call import RequestObserver, Timing
from app.service.completion import CompletionStream
from app.service.generation import GenerationStream
from app.service.inference import Deployment, InferenceService
from app.service.sessions import SessionService
from app.service.step_line import StepCall, StepClock

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
