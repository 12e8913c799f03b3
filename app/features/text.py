"""Text to token ids and back, by the ``tokenizer.json`` of a bundle.

A thin face on the ``tokenizers`` library, so that training and serving cut text alike.
"""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from app.core.errors import BundleError

UNKNOWN = "<unk>"
_REPLACEMENT = "\ufffd"


class TextCodec:
    """Encodes and decodes with one tokenizer; safe to share between threads.

    Args:
        definition: the JSON text of the tokenizer.

    Raises:
        BundleError: the text is not a tokenizer.
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

    @property
    def size(self) -> int:
        """Number of tokens in the vocabulary."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def unknown(self) -> int | None:
        """The token for what training never saw; it is never to be produced."""
        token = self._tokenizer.token_to_id(UNKNOWN)
        return None if token is None else int(token)

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
        word = self._words.get(token_id)
        if word is None:
            decoded = str(self._tokenizer.decode([token_id], skip_special_tokens=True))
            whole = decoded and _REPLACEMENT not in decoded
            # No more than the vocabulary has, so this stays bounded.
            word = self._words[token_id] = decoded if whole else str(self._tokenizer.id_to_token(token_id))
        return word

    def stream(self) -> TextStream:
        """A decoder for tokens that arrive one at a time."""
        return TextStream(self._tokenizer)


class TextStream:
    """Decodes a growing sequence of tokens into pieces of text.

    A piece may be empty: a token can be a part of a character that the next one completes.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def push(self, token_id: int) -> str:
        """The text that became certain with this token."""
        return self._stream.step(self._tokenizer, token_id) or ""
