"""Where a reader of a generation stands, as a text that travels as the id of its events.

    request + ResumePoint --generated anew, what was given out is skipped--> the rest of the text

Text is a function of model, prompt or state, and seed, so nothing need be kept on the server:
the same request with the id of its last event gets the rest, from any server, at any later time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import orjson

from app.core.errors import InvalidInput
from app.tasks.decoded.schema import SEEDS, TextRequest

HEADER = "last-event-id"

_FORM = re.compile(
    r"1\.(\d{1,19})\.([0-9a-f]{16})\.([0-9a-f]{8}|)\.(done|{choice}(?:-{choice})*)".replace(
        "{choice}", r"\d{1,10}(?:c\d{1,10})?e?"
    ),
    re.ASCII,
)
_CHOICE = re.compile(r"(\d+)(?:c(\d+))?(e?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Given:
    """How many tokens of a choice have become text; of an ended one nothing is held back.

    ``size`` counts the characters and log-probabilities that were given out, which tells whether a text that
    ended later had more; ``None`` in ids of earlier servers.
    """

    tokens: int = 0
    ended: bool = False
    size: int | None = 0

    def __str__(self) -> str:
        size = "" if self.size is None else f"c{self.size}"
        return f"{self.tokens}{size}{'e' * self.ended}"


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A position in the events of one generation.

    Attributes:
        request: digest of its request and model.
        origin: tells the state that it began from; empty without a session.
        given: of each choice; ``None`` when even the done frame was given out.
    """

    seed: int
    request: str
    origin: str
    given: tuple[Given, ...] | None

    def __str__(self) -> str:
        given = "done" if self.given is None else "-".join(map(str, self.given))
        return f"1.{self.seed}.{self.request}.{self.origin}.{given}"

    @property
    def complete(self) -> bool:
        return self.given is None

    def is_of(self, request: TextRequest, model: str) -> bool:
        return self.request == request_mark(request, model)

    def check(self, request: TextRequest, model: str) -> None:
        """Raises InvalidInput where this request cannot have reached the point."""
        if not self.is_of(request, model):
            raise InvalidInput(HEADER, f"the event is one of another request, or not of {model}")
        for given in self.given or ():
            if given.tokens > request.max_tokens:
                raise InvalidInput(HEADER, "the event lies behind the end of this text")
        if self.given is not None and len(self.given) != request.n:
            raise InvalidInput(HEADER, "the event is one of a request with another n")


def first_point(request: TextRequest, model: str, seed: int, origin: str = "") -> ResumePoint:
    return ResumePoint(seed, request_mark(request, model), origin, (Given(),) * request.n)


def parse_point(text: str) -> ResumePoint:
    """The point that an event's id names; raises InvalidInput."""
    found = _FORM.fullmatch(text)
    if found is None or int(found[1]) >= SEEDS:
        raise InvalidInput(HEADER, "not the id of an event of this service; send it back as it came")
    given = None
    if found[4] != "done":
        given = tuple(
            Given(int(tokens), bool(end), int(size) if size else None)
            for tokens, size, end in _CHOICE.findall(found[4])
        )
    return ResumePoint(int(found[1]), found[2], found[3], given)


def request_mark(request: TextRequest, model: str) -> str:
    """Digest of a request on a model; how its answer travels does not count."""
    fields = request.model_dump(mode="json", exclude={"stream", "model"})
    data = orjson.dumps([model, fields], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=8).hexdigest()
