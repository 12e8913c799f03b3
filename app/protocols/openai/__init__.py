"""OpenAI's completions API."""

from app.edge.protocol import Protocol
from app.protocols.openai.errors import as_openai_error
from app.protocols.openai.router import router
from app.protocols.openai.schema import Completion, OpenAIErrorAnswer

OPENAI = Protocol(
    prefix="/v1/",
    open=lambda app: (router,),
    error_shape=as_openai_error,
    frames=(Completion, OpenAIErrorAnswer),
)
