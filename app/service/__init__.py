"""The one inference path for every transport: admit, prepare, submit, finish, time, count.

Routes and sockets translate to and from this; nothing else decides anything about a request.
"""

from app.service.call import RequestObserver, Timing
from app.service.chain import StepCall
from app.service.generation import GenerationStream
from app.service.inference import Deployment, InferenceService
from app.service.sessions import SessionService

__all__ = [
    "Deployment",
    "GenerationStream",
    "InferenceService",
    "RequestObserver",
    "SessionService",
    "StepCall",
    "Timing",
]
