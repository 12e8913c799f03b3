"""Building tokenizers: texts go in, the JSON text of a ``tokenizer.json`` comes out.

All are written by the ``tokenizers`` library, so that serving needs no code of ours to read
them. Each knows the token ``<unk>``, which stands for what training never saw.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from app.core.errors import TrainingError
from app.features.text import TextCodec

TextUnit = Literal["char", "bpe", "word"]

UNKNOWN = "<unk>"
UNKNOWN_ID = 0
LINE_END = "\n"

# A word with its "n't" or clitic split off as the Penn Treebank does, or one mark of punctuation.
WORD = r"\w+?(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\w+|[^\w\s]"


def character_tokenizer(texts: Iterable[str]) -> str:
    """One token per character; decoding gives back the text exactly.

    The line end always has a token, since it separates texts.
    """
    characters = sorted({character for text in texts for character in text} | {LINE_END})
    vocabulary = {token: index for index, token in enumerate([UNKNOWN, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return str(tokenizer.to_str())


def bpe_tokenizer(texts: Iterable[str], vocabulary: int) -> str:
    """Byte-pair encoding over bytes (Sennrich et al. 2016), so that any text round-trips.

    Args:
        texts: what to learn the merges from.
        vocabulary: tokens wanted; at least the 256 bytes and ``<unk>``.

    Raises:
        TrainingError: the vocabulary is too small.
    """
    if vocabulary < 257:
        raise TrainingError(f"vocab_size is {vocabulary}; a byte-pair tokenizer needs at least 257")
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[UNKNOWN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _without_added_tokens(tokenizer)


def spaced_word_tokenizer(texts: Iterable[str], vocabulary: int) -> str:
    """The most frequent words between spaces, and line ends; decoding puts one space before each word.

    Where no two words of the texts differ by case alone, case is not read.

    Args:
        texts: what to count words in.
        vocabulary: tokens at most, ``<unk>`` and the line end included.

    Raises:
        TrainingError: the vocabulary has no room for a word, or no spaces part the texts into words.
    """
    if vocabulary < 3:
        raise TrainingError(f"vocab_size is {vocabulary}; a tokenizer of words needs at least 3")
    counts = Counter(word for text in texts for word in text.split())
    del counts[UNKNOWN]
    if counts.total() < 2:
        raise TrainingError("no spaces part the text into words; take a tokenizer of characters or bytes")
    folded = Counter({word.lower(): count for word, count in counts.items()})
    case = [normalizers.Lowercase()] if len(folded) == len(counts) else []
    counts = folded if case else counts
    words = sorted(counts, key=lambda word: (-counts[word], word))[: vocabulary - 2]
    tokens = [UNKNOWN, LINE_END, *(f" {word}" for word in words)]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Prepend(" "),
            normalizers.Replace(Regex(r"[^\S\n]+"), " "),
            normalizers.Replace(LINE_END, f"{LINE_END} "),
            *case,
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" [^ \n]+|\n"), behavior="removed", invert=True)
    tokenizer.decoder = decoders.Fuse()
    return str(tokenizer.to_str())


def kind_of(definition: str) -> TextUnit:
    """By which of the three above a tokenizer was made, or one that reads alike."""
    read = json.loads(definition)
    if read["model"]["type"] != "WordLevel":
        return "bpe"
    return "char" if read.get("normalizer") is None else "word"


def word_tokenizer(texts: Iterable[str], vocabulary: int, min_count: int = 1, pattern: str = WORD) -> str:
    """Lower-cased words and marks of punctuation, the most frequent ones.

    Args:
        texts: what to count words in.
        vocabulary: tokens at most, ``<unk>`` included.
        min_count: words seen less often are unknown.
        pattern: what a word is; a mark is one as well.

    Raises:
        TrainingError: the vocabulary has no room for a word, or no word is frequent enough.
    """
    if vocabulary < 2:
        raise TrainingError(f"vocab_size is {vocabulary}; it must be at least 2")
    tokenizer = Tokenizer(models.WordLevel({UNKNOWN: UNKNOWN_ID}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"<br\s*/?>"), " "),
            # Joiners, variants and skin colours of emoji.
            normalizers.Replace(Regex("[\u200d\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]"), ""),
            normalizers.Replace(Regex("[\u2018\u2019\u00b4`]"), "'"),
            normalizers.Replace(Regex("[\u201c\u201d]"), '"'),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    # Ties in the count are broken by the word, so that the order of the texts does not matter.
    kept = [word for word in counts if counts[word] >= min_count and word != UNKNOWN]
    if not kept:
        raise TrainingError(f"no word occurs {min_count} times; a smaller min_count keeps rarer words")
    words = [UNKNOWN, *sorted(kept, key=lambda word: (-counts[word], word))[: vocabulary - 1]]
    tokenizer.model = models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=UNKNOWN)
    return str(tokenizer.to_str())


def line_end_token(codec: TextCodec) -> int:
    """Id of the token that stands for a line end.

    Raises:
        TrainingError: the tokenizer has no single token for it.
    """
    ids = codec.encode(LINE_END)
    if len(ids) != 1:
        raise TrainingError("the tokenizer has no single token for a line end")
    return ids[0]


def encode_many(codec: TextCodec, texts: Iterable[str]) -> list[list[int]]:
    """Token ids of each text."""
    return [codec.encode(text) for text in texts]


def _without_added_tokens(tokenizer: Tokenizer) -> str:
    """The tokenizer as JSON, with ``<unk>`` an ordinary entry: a text may contain those letters."""
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = []
    return json.dumps(content, ensure_ascii=False)
