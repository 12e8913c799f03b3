"""OpenAI's API: completions, and transcriptions of sounds."""

from app.edge.protocol import Protocol
from app.protocols.openai.errors import as_openai_error
from app.protocols.openai.router import router
from app.protocols.openai.schema import Completion, OpenAIErrorAnswer
from app.protocols.openai.sounds import router as sounds

OPENAI = Protocol(
    prefix="/v1/",
    open=lambda app: (router, sounds),
    error_shape=as_openai_error,
    frames=(Completion, OpenAIErrorAnswer),
)
