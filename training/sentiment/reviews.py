"""The sentiment corpora: IMDb reviews and the Stanford Sentiment Treebank with its phrases."""

from __future__ import annotations

import gzip
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from app.core.errors import DataError

SENTIMENT_LABELS = ("negative", "neutral", "positive")
NEGATIVE, NEUTRAL, POSITIVE = range(len(SENTIMENT_LABELS))

_REVIEW = re.compile(r"(?:.*/)?(train|test)/(pos|neg)/\d+_\d+\.txt")
_TREE_TOKEN = re.compile(r"\(|\)|[^()\s]+")
# The treebank's spelling of what people type.
_AS_TYPED = {"-LRB-": "(", "-RRB-": ")", "``": '"', "''": '"', "`": "'"}
# What a grade from very negative to very positive stands for, and how surely.
_LABELS = (NEGATIVE, NEGATIVE, NEUTRAL, POSITIVE, POSITIVE)
_CONFIDENCE = (1.0, 0.9, 0.9, 0.9, 1.0)
_MORE_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Texts, each with the index of its label.

    Attributes:
        texts: the texts.
        labels: one index per text.
        confidence: how sure each label is, from chance to 1; empty when all are certain.
    """

    texts: list[str]
    labels: list[int]
    confidence: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def __add__(self, other: LabelledTexts) -> LabelledTexts:
        """Those of both; labels are certain where nothing else is said."""
        confidence = [sure for part in (self, other) for sure in part.confidence or [1.0] * len(part)]
        return LabelledTexts(self.texts + other.texts, self.labels + other.labels, confidence)

    def take(self, indices: list[int]) -> LabelledTexts:
        """Those at ``indices``, in that order."""
        return LabelledTexts(
            [self.texts[index] for index in indices],
            [self.labels[index] for index in indices],
            [self.confidence[index] for index in indices] if self.confidence else [],
        )


def read_imdb(path: Path) -> tuple[LabelledTexts, LabelledTexts]:
    """The labelled reviews of ``aclImdb`` (Maas et al. 2011) from its archive.

    Args:
        path: ``tar.gz`` with ``train|test/pos|neg/<id>_<rating>.txt`` below any folder.

    Returns:
        The official train and test parts, each ordered by member name.

    Raises:
        DataError: the archive cannot be read, or holds no labelled reviews.
    """
    found: dict[str, list[tuple[str, str, int]]] = {"train": [], "test": []}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                match = _REVIEW.fullmatch(member.name)
                content = archive.extractfile(member) if match else None
                if match and content is not None:
                    label = POSITIVE if match[2] == "pos" else NEGATIVE
                    found[match[1]].append((member.name, content.read().decode("utf-8"), label))
    except (OSError, tarfile.TarError, UnicodeDecodeError, EOFError) as error:
        raise DataError(f"cannot read the reviews in {path.name!r}: {error}") from error
    if not found["train"] or not found["test"]:
        raise DataError(f"{path.name!r} holds no labelled train and test reviews")
    parts = [sorted(found[split]) for split in ("train", "test")]
    train, test = (
        LabelledTexts([text for _, text, _ in part], [label for *_, label in part]) for part in parts
    )
    return train, test


@dataclass(frozen=True, slots=True)
class Phrase:
    """A node of a sentiment tree.

    Attributes:
        text: its words.
        grade: 0 (very negative) to 4 (very positive).
        is_sentence: whether it is the whole tree.
    """

    text: str
    grade: int
    is_sentence: bool


def read_trees(path: Path) -> list[Phrase]:
    """Every node of the treebank file ``path`` (Socher et al. 2013), gzipped, one tree a line.

    Raises:
        DataError: the file cannot be read, or a line is not a labelled tree.
    """
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the trees in {path.name!r}: {error}") from error
    phrases: list[Phrase] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                phrases.extend(parse_tree(line))
            except (IndexError, ValueError) as error:
                raise DataError(f"line {number} of {path.name!r} is not a labelled tree") from error
    return phrases


def parse_tree(line: str) -> list[Phrase]:
    """The nodes of one bracketed tree, the root last.

    Raises:
        ValueError, IndexError: the brackets or the labels are malformed.
    """
    words: list[str] = []
    open_nodes: list[tuple[int, int]] = []
    phrases: list[Phrase] = []
    expect_label = False
    for token in _TREE_TOKEN.findall(line):
        if token == "(":
            expect_label = True
        elif token == ")":
            grade, first = open_nodes.pop()
            phrases.append(Phrase(" ".join(words[first:]), grade, not open_nodes))
        elif expect_label:
            grade = int(token)
            if not 0 <= grade <= 4:
                raise ValueError(f"label {grade} is not in 0..4")
            open_nodes.append((grade, len(words)))
            expect_label = False
        else:
            words.append(_AS_TYPED.get(token, token.replace("\\/", "/")))
    if open_nodes or not phrases or sum(phrase.is_sentence for phrase in phrases) != 1:
        raise ValueError("the brackets do not close one tree")
    return phrases


def whole_sentences(phrases: list[Phrase]) -> LabelledTexts:
    """The sentences with one of three labels."""
    chosen = [phrase for phrase in phrases if phrase.is_sentence]
    return LabelledTexts([phrase.text for phrase in chosen], [_LABELS[phrase.grade] for phrase in chosen])


def binary_sentences(phrases: list[Phrase]) -> LabelledTexts:
    """The sentences that are positive or negative; neutral ones are left out (SST-2)."""
    sentences = whole_sentences(phrases)
    return sentences.take([at for at, label in enumerate(sentences.labels) if label != NEUTRAL])


def graded_phrases(phrases: list[Phrase]) -> LabelledTexts:
    """Every phrase once per grade, with how sure its label is.

    Sentences come several times: they are what is asked about, and most phrases are a few words.
    """
    chosen = list(dict.fromkeys((phrase.text, phrase.grade) for phrase in phrases))
    chosen += [(phrase.text, phrase.grade) for phrase in phrases if phrase.is_sentence] * _MORE_SENTENCES
    return LabelledTexts(
        [text for text, _ in chosen],
        [_LABELS[grade] for _, grade in chosen],
        [_CONFIDENCE[grade] for _, grade in chosen],
    )
