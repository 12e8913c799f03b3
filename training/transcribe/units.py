"""What labels stand for: words, characters, or pieces of words; made from the training part."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from app.core.errors import DataError
from app.tasks.transcribe.spec import MAX_UNIT_CHARS, MAX_UNITS

Unit = Literal["word", "character", "bpe"]
SPACE, _MARK, _UNKNOWN = " ", "\u2581", "<unk>"


def cleaned(text: str) -> str:
    """One space between words, in one form of Unicode."""
    return " ".join(unicodedata.normalize("NFC", text).split())


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Texts of the labels from 1 on; 0 is the blank.

    A piece of a word that begins one starts with a space, as serving puts it together.
    """

    unit: Unit
    texts: tuple[str, ...]
    pieces: Tokenizer | None = None
    _ids: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ids.update({text: index for index, text in enumerate(self.texts, 1)})

    @staticmethod
    def of(unit: Unit, transcripts: Sequence[str], vocab_size: int) -> Units:
        """Raises DataError: the transcripts give no labels, too many, or too long ones."""
        pieces = None
        if unit == "word":
            texts = {word for text in transcripts for word in text.split()}
        elif unit == "character":
            texts = {character for text in transcripts for character in text}
        else:
            pieces = _trained(transcripts, vocab_size)
            known = json.loads(pieces.to_str())["model"]["vocab"]
            texts = {text.replace(_MARK, SPACE) for text in known if text != _UNKNOWN}
        if not texts:
            raise DataError("no transcript of the training part has a word in it")
        if len(texts) > MAX_UNITS:
            raise DataError(f"--unit {unit} gives {len(texts)} labels; at most {MAX_UNITS} can be learned")
        longest = max(texts, key=len)
        if len(longest) > MAX_UNIT_CHARS:
            text = f"{longest[:32]!r} and on is {len(longest)} characters long; a label has {MAX_UNIT_CHARS}"
            raise DataError(f"--unit {unit}: {text} at most. Is --unit character meant?")
        return Units(unit, tuple(sorted(texts)), pieces)

    def encode(self, text: str) -> list[int] | None:
        """Labels of a transcript; ``None`` where training had no label for a part of it."""
        parts: Iterable[str]
        if self.unit == "word":
            parts = text.split()
        elif self.pieces is None:
            parts = text
        else:
            parts = [token.replace(_MARK, SPACE) for token in self.pieces.encode(text).tokens]
        ids = [self._ids.get(part, 0) for part in parts]
        return None if 0 in ids else ids

    def text(self, labels: Sequence[int]) -> str:
        parts = [self.texts[label - 1] for label in labels]
        return SPACE.join(parts) if self.unit == "word" else cleaned("".join(parts))


def _trained(transcripts: Sequence[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_MARK)
    tokenizer.decoder = decoders.Metaspace(replacement=_MARK)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[_UNKNOWN],
        show_progress=False,
        min_frequency=2,
        max_token_length=MAX_UNIT_CHARS,
    )
    tokenizer.train_from_iterator(transcripts, trainer)
    return tokenizer
