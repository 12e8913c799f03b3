"""Of letters and words: text, moods, surnames, translations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from app.features.text import TextCodec
from app.tasks.generate.spec import GenerateSpec
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.sequence.spec import NamedOutput, SequenceSpec
from app.tasks.translate.spec import Language, TranslateSpec
from tests.bundles.untrained import exported, unsettle
from training.cells import Cell
from training.generate.net import LanguageModel
from training.sentiment.net import Classifier, ClassifierConfig
from training.sequence.net import Reader, ReaderConfig
from training.token_net import TokenNetConfig
from training.tokenizers import bpe_tokenizer, character_tokenizer, word_tokenizer
from training.translate.corpus import Vocabulary
from training.translate.net import Encoder, Translator, TranslatorConfig

LETTERS = "\n abcdefghijklmnopqrstuvwxyz.,é"
WORDS = ["a good film, truly good", "a bad film! not good", "the plot is thin , the end is dull."]
TONGUES = ["a dog and a cat", "ein hund und eine katze", "two dogs run", "zwei hunde rennen"]
LABELS = ("negative", "positive")


def tiny_generator(
    out: Path,
    cell: Cell = "lstm",
    name: str = "tiny-text",
    version: str = "1",
    seed: int = 1,
    letters: str = LETTERS,
    hidden: int = 16,
) -> Path:
    """A character model over ``letters``; a newline starts texts but ends none."""
    torch.manual_seed(seed)
    tokenizer = character_tokenizer([letters])
    vocabulary = TextCodec(tokenizer).size
    net = LanguageModel(TokenNetConfig(vocabulary, cell=cell, embedding=8, hidden=hidden, layers=2))
    unsettle(net)
    spec = GenerateSpec(
        vocabulary=vocabulary, unit="character", start_token=TextCodec(tokenizer).encode("\n")[0]
    )
    return exported(
        net,
        out,
        name,
        version,
        "Random letters.",
        spec=spec,
        seed=1,
        tokenizer=tokenizer,
    )


def tiny_bpe_generator(out: Path, name: str = "tiny-bpe", version: str = "1") -> Path:
    """A model over bytes and a few of their merges, so that a token may be a part of a character."""
    torch.manual_seed(4)
    tokenizer = bpe_tokenizer(["the théâtre and the thé, the naïve café"], 280)
    vocabulary = TextCodec(tokenizer).size
    net = LanguageModel(TokenNetConfig(vocabulary, cell="gru", embedding=8, hidden=16))
    unsettle(net)
    return exported(
        net,
        out,
        name,
        version,
        "Random bytes.",
        spec=GenerateSpec(
            vocabulary=vocabulary, unit="token", start_token=TextCodec(tokenizer).encode("\n")[0]
        ),
        seed=4,
        tokenizer=tokenizer,
    )


def tiny_classifier(out: Path, cell: Cell = "gru", name: str = "tiny-mood", version: str = "1") -> Path:
    """Two labels over a handful of words."""
    torch.manual_seed(2)
    tokenizer = word_tokenizer(WORDS, 40)
    vocabulary = TextCodec(tokenizer).size
    net = Classifier(ClassifierConfig(vocabulary, labels=len(LABELS), cell=cell, embedding=8, hidden=12))
    unsettle(net)
    return exported(
        net,
        out,
        name,
        version,
        "Random moods.",
        spec=SentimentSpec(vocabulary=vocabulary, labels=LABELS),
        seed=2,
        tokenizer=tokenizer,
    )


def tiny_speller(out: Path, name: str = "tiny-names", version: str = "1") -> Path:
    """Letters to one of two labels, by one number."""
    torch.manual_seed(6)
    tokenizer = character_tokenizer([LETTERS])
    vocabulary = TextCodec(tokenizer).size
    net = Reader(ReaderConfig(1, vocabulary=vocabulary, cell="lstm", embedding=8, hidden=12))
    unsettle(net)
    return exported(
        net,
        out,
        name,
        version,
        "Random languages.",
        spec=SequenceSpec(
            vocabulary=vocabulary,
            outputs=(NamedOutput(name="language", labels=("here", "elsewhere")),),
            read="each",
        ),
        seed=6,
        tokenizer=tokenizer,
    )


def tiny_translator(out: Path, name: str = "tiny-tongues", version: str = "1") -> Path:
    """From English to German and back; it writes random words."""
    torch.manual_seed(8)
    tokenizer = bpe_tokenizer(TONGUES, 300)
    vocabulary = Vocabulary(TextCodec(tokenizer), ("de", "en"))
    config = TranslatorConfig(
        vocabulary=vocabulary.size, embedding=12, encoder=8, values=16, hidden=10, attention=8, max_length=128
    )
    net = Translator(config)
    unsettle(net)
    languages = tuple(
        Language(code=code, start_token=vocabulary.start(code), letters=letters, words=words)
        for code, letters, words in (
            ("de", "abcdefghijklmnopqrstuvwxyzäöüß", ("ein", "hund", "und")),
            ("en", "abcdefghijklmnopqrstuvwxyz", ("a", "dog", "and")),
        )
    )
    spec = TranslateSpec(
        vocabulary=vocabulary.size,
        end_token=vocabulary.end,
        languages=languages,
        directions=(("en", "de"), ("de", "en")),
        max_tokens=config.max_length - 1,
    )
    sources = [[*vocabulary.codec.encode(text), vocabulary.end] for text in TONGUES[:3]]
    return exported(
        net,
        out,
        name,
        version,
        "Random words.",
        spec=spec,
        seed=8,
        tokenizer=tokenizer,
        golden_steps=np.random.default_rng(0).integers(0, vocabulary.size, (3, 12)),
        encoder=Encoder(net),
        golden_inputs=[np.array(source[: config.max_length]) for source in sources],
    )
