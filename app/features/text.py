"""Text to token ids and back, by the ``tokenizer.json`` of a bundle, within the limits of texts.

A thin face on the ``tokenizers`` library, so that training and serving cut text alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from app.bundle.manifest import TOKENIZER_FILE
from app.bundle.reader import Bundle
from app.core.errors import BundleError, InvalidInput, InvalidManifest, over_limit
from app.core.limits import TaskLimits

UNKNOWN = "<unk>"
_REPLACEMENT = "\ufffd"


class TextCodec:
    """Encodes and decodes with a tokenizer given as JSON; safe to share between threads.

    Raises:
        BundleError: it is no tokenizer.
    """

    def __init__(self, definition: str) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(definition)
        except Exception as error:  # the library raises bare Exception
            raise BundleError(f"tokenizer.json cannot be read: {error}") from error
        # A tokenizer trained with padding or truncation must not alter what a caller sent.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._words: dict[int, str] = {}
        self.unknown: int | None = self._tokenizer.token_to_id(UNKNOWN)
        """The token for what training never saw; it is never to be produced."""
        name = getattr(self._tokenizer.model, "unk_token", None) or UNKNOWN
        self.replacing: int | None = self._tokenizer.token_to_id(name)
        """The same, by whichever name the tokenizer has for it; none in one over bytes."""

    @property
    def size(self) -> int:
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids, and for each the half-open range of characters it came from."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return list(encoding.ids), list(encoding.offsets)

    def decode(self, ids: list[int]) -> str:
        """The text of ``ids``, special tokens left out."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def token(self, token_id: int) -> str:
        """The text of one token on its own.

        A token that is no text, such as a special one or a part of a character, is written as the
        vocabulary has it.
        """
        if (word := self._words.get(token_id)) is None:
            decoded = str(self._tokenizer.decode([token_id], skip_special_tokens=True))
            whole = decoded and _REPLACEMENT not in decoded
            # No more than the vocabulary has, so this stays bounded.
            word = self._words[token_id] = decoded if whole else str(self._tokenizer.id_to_token(token_id))
        return word

    def stream(self) -> Callable[[int], str]:
        """A function that gives the text which became certain with the next token of a sequence.

        It may be empty: a token can be a part of a character that the next one completes.
        """
        decoder = DecodeStream(skip_special_tokens=True)
        return lambda token_id: decoder.step(self._tokenizer, token_id) or ""


class TextLimits(TaskLimits):
    max_texts: int = Field(1_000, ge=1, le=100_000, description="texts in one request")
    max_text_chars: int = Field(100_000, ge=1, le=10_000_000, description="characters of one text or prompt")
    max_prompt_tokens: int = Field(100_000, ge=1, le=10_000_000, description="tokens of one text or prompt")


def codec_of(bundle: Bundle, vocabulary: int) -> TextCodec:
    """As :func:`checked_codec`, of a bundle."""
    return checked_codec(bundle.tokenizer, vocabulary)


def checked_codec(tokenizer: str | None, vocabulary: int) -> TextCodec:
    """A tokenizer for a network that knows so many tokens.

    Raises:
        InvalidManifest: there is none, or it has more tokens than the network.
        BundleError: it cannot be read.
    """
    if tokenizer is None:
        raise InvalidManifest(f"a network of texts needs a {TOKENIZER_FILE}, and the bundle lists none")
    codec = TextCodec(tokenizer)
    if codec.size > vocabulary:
        raise InvalidManifest(f"its tokenizer has {codec.size} tokens, its network only {vocabulary}")
    return codec


def milliseconds_to_encode(num_chars: int) -> float:
    """About how long text of this length takes to be cut into tokens."""
    return num_chars / 1000


def check_text(field: str, text: str, limits: TextLimits) -> None:
    """Raises InvalidInput for a text that is too long, or that no encoding can carry."""
    most = limits.max_text_chars
    if len(text) > most:
        raise over_limit(field, most, f"the text has {len(text)} characters, more than the limit of {most}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            field, "the text holds half of a surrogate pair, which is not a character"
        ) from error


def check_ids(field: str, ids: Sequence[object], vocabulary: int) -> None:
    """Raises InvalidInput, which names the first element that is no token id."""
    for index, token in enumerate(ids):
        if type(token) is not int or not 0 <= token < vocabulary:
            raise InvalidInput(
                f"{field}.{index}",
                f"a token id is a whole number from 0 to {vocabulary - 1}",
                allowed={"min": 0, "max": vocabulary - 1},
            )


class TextInputs:
    """What sessions on a text model are fed: a text, or a list of token ids; they have no options."""

    def __init__(self, codec: TextCodec, vocabulary: int, limits: TextLimits) -> None:
        self._codec = codec
        self._vocabulary = vocabulary
        self._limits = limits

    def open(self, options: dict[str, object]) -> dict[str, object]:
        if options:
            raise InvalidInput(f"options.{next(iter(options))}", "this model's sessions have no options")
        return {}

    def ids(self, inputs: object) -> list[int]:
        """Raises InvalidInput."""
        if isinstance(inputs, str):
            check_text("inputs", inputs, self._limits)
            if ids := self._codec.encode(inputs):
                return ids
            raise InvalidInput("inputs", "the text holds no tokens; give at least one")
        if not isinstance(inputs, list) or not inputs:
            raise InvalidInput("inputs", "give a text, or a list of one or more token ids")
        check_ids("inputs", inputs, self._vocabulary)
        return inputs
