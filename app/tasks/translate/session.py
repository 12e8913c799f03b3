"""Sessions on a translator: one sentence to translate; its translation so far in, what may follow out.

What the decoder attends to is made again of the sentence wherever a session goes on, so it is not stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from app.core.errors import InvalidInput, over_limit
from app.core.schema import read
from app.features.text import TextCodec, TextInputs, TextLimits, check_text
from app.tasks.decoded.draft import chosen
from app.tasks.decoded.next_tokens import next_tokens
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output
from app.tasks.translate.languages import Languages
from app.tasks.translate.sentences import sentences
from app.tasks.translate.spec import TranslateSpec


class SessionOptions(BaseModel):
    """``text``: one sentence; its languages as in a request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    source: str | None = None
    target: str | None = None


class PrefixSession(TextInputs):
    """See :class:`app.tasks.session.SessionTask`."""

    def __init__(
        self, spec: TranslateSpec, codec: TextCodec, languages: Languages, limits: TextLimits
    ) -> None:
        super().__init__(codec, spec.vocabulary, limits)
        self._spec, self._languages = spec, languages

    def open(self, options: Context) -> Context:
        asked = read(SessionOptions, options, "options")
        check_text("options.text", asked.text, self._limits)
        found = sentences(asked.text)
        if len(found) != 1:
            text = f"a session translates one sentence, and the text has {len(found)}"
            raise InvalidInput("options.text", text)
        source, target, _ = self._languages.choose(asked.text, "options.text", asked.source, asked.target)
        ids = self._codec.encode(asked.text[found[0].start : found[0].end])
        most = self._spec.max_tokens
        if len(ids) > most:
            raise over_limit("options.text", most, f"the sentence has {len(ids)} tokens, more than {most}")
        return {"sentence": ids, "source": source, "target": target}

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """A step for each token; the language's token is a step by itself, told where nothing else comes."""
        sentence = np.array([*context["sentence"], self._spec.end_token], np.int64)
        start = self._spec.start(context["target"])
        return chosen(self, inputs, start=start, step=step, context=context, source=sentence)

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """Token, id, how likely it was, and the likeliest that follow."""
        return [next_tokens(call, self._codec) for call in calls]
