"""The figures of a card: BLEU and chrF, as papers give them and as a user meets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sacrebleu
from sacremoses import MosesPunctNormalizer, MosesTokenizer

from app.bundle.manifest import MANIFEST_FILE, Manifest, Quality
from app.core.errors import DataError
from app.tasks.decoded.beams import BEAMS
from training.attending.search import Measured
from training.translate.baselines import nearest
from training.translate.corpus import Corpus, Vocabulary
from training.translate.decoding import translations

REFERENCES = {
    ("en-de", "test_2016_flickr"): {
        "conditional GRU (LIUM-CVC 2017)": 38.1,
        "transformer of 2.6 million parameters (Revisit-MMT)": 41.02,
        "text-only GRU (Calixto et al. 2017)": 33.7,
    },
}
"""BLEU of lower-cased, tokenised text, as published."""


SIGNATURES = {
    "BLEU, lower case, Moses tokens": "nrefs:1 case:lc eff:no tok:none smooth:exp",
    "BLEU": "nrefs:1 case:mixed eff:no tok:13a smooth:exp",
    "chrF2": "nrefs:1 case:mixed eff:yes nc:6 nw:0 space:no",
}
"""Of sacrebleu, with blanks in place of its bars."""


def figures(
    net: Measured, vocabulary: Vocabulary, corpus: Corpus, *, baselines: bool = True
) -> list[Quality]:
    """Of each direction and test part: beams and greedy, beside the source and the nearest sentence."""
    return [
        quality
        for source, target in corpus.directions
        for part in corpus.test
        for quality in _direction(net, vocabulary, corpus, source, target, part, baselines)
    ]


def _direction(
    net: Measured,
    vocabulary: Vocabulary,
    corpus: Corpus,
    source: str,
    target: str,
    part: str,
    baselines: bool,
) -> Iterator[Quality]:
    pairs = [
        pair for pair in corpus.test[part] if (pair.source_language, pair.target_language) == (source, target)
    ]
    texts, truth = [pair.source for pair in pairs], [pair.target for pair in pairs]
    found = translations(net, vocabulary, texts, target, BEAMS)
    greedy = translations(net, vocabulary, texts, target, 1)
    others = {"greedy": greedy}
    if baselines:
        known = [
            pair for pair in corpus.train if (pair.source_language, pair.target_language) == (source, target)
        ]
        others |= {"the source itself": texts, "translation of the nearest sentence": nearest(known, texts)}
    direction = f"{source}-{target}"
    measures: dict[str, Callable[[Sequence[str]], float]] = {
        "BLEU, lower case, Moses tokens": lambda told: moses_bleu(told, truth, target),
        "BLEU": lambda told: sacrebleu.corpus_bleu(told, [truth]).score,
        "chrF2": lambda told: sacrebleu.corpus_chrf(told, [truth]).score,
    }
    for metric, measure in measures.items():
        main = metric.endswith("Moses tokens")
        yield Quality(
            metric=f"{metric} of {direction}, {BEAMS} beams ({SIGNATURES[metric]})",
            dataset=corpus.name,
            split=part,
            value=measure(found),
            higher_is_better=True,
            baselines={name: measure(told) for name, told in others.items()} if main else {},
            references=REFERENCES.get((direction, part), {}) if main else {},
        )


def moses_bleu(told: Sequence[str], truth: Sequence[str], language: str) -> float:
    """As papers on this data have it: both sides lower-cased, normalised and tokenised.

    By sacrebleu with ``tok:none``; the tokenizer is Moses' own, so the references are what the authors of the
    data published as tokenised.
    """
    texts, references = moses_tokens(told, language), moses_tokens(truth, language)
    return float(sacrebleu.corpus_bleu(texts, [references], tokenize="none", force=True).score)


def moses_tokens(texts: Sequence[str], language: str) -> list[str]:
    """Lower-cased, normalised, and tokens with blanks between."""
    normaliser: Any = MosesPunctNormalizer(lang=language)
    tokeniser: Any = MosesTokenizer(lang=language)

    return [
        tokeniser.tokenize(normaliser.normalize(text.lower()), return_str=True, escape=True) for text in texts
    ]


def beside(found: Sequence[Quality], folder: Path) -> list[Quality]:
    """The figures with those of the bundle in a folder, the same network without attention, beside them.

    Raises:
        DataError: there is no such bundle.
    """
    others = {
        (quality.metric, quality.split): quality.value
        for file in folder.rglob(MANIFEST_FILE)
        for quality in Manifest.model_validate_json(file.read_bytes()).quality
    }
    if not others:
        raise DataError(f"--figures {folder.name!r} holds no bundle of a run with --attention 0")
    return [
        quality.model_copy(
            update={
                "baselines": {**quality.baselines, "without attention": others[quality.metric, quality.split]}
            }
        )
        if quality.baselines and (quality.metric, quality.split) in others
        else quality
        for quality in found
    ]
