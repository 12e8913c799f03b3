"""The figures of a card: BLEU, CIDEr-D, and how many different captions there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import sacrebleu
from numpy.typing import NDArray

from app.bundle.manifest import Quality
from app.tasks.decoded.beams import BEAMS
from training.attending.search import Measured
from training.caption.cider import Cider
from training.caption.corpus import Corpus, Picture, Vocabulary, words_of
from training.caption.decoding import captions

_ORDERS = (1, 2, 3, 4)
_REFERENCES = {"Flickr8k": (67.0, 44.8, 29.9, 19.5)}
"""BLEU of soft attention as Xu et al. 2015 published it; their encoder saw pictures of full size."""


def figures(
    net: Measured,
    vocabulary: Vocabulary,
    corpus: Corpus,
    pictures: Callable[[], Iterable[NDArray[np.float32]]],
    max_tokens: int,
    others: Mapping[str, Sequence[str]],
) -> list[Quality]:
    """Of the test part, with beams.

    Args:
        net: the network.
        vocabulary: its words.
        corpus: knows what people say.
        pictures: those of the test part, as the encoder takes them.
        max_tokens: of a caption.
        others: captions of the same pictures by other means, by name.
    """
    told = {
        "": captions(net, vocabulary, pictures(), BEAMS, max_tokens),
        "greedy": captions(net, vocabulary, pictures(), 1, max_tokens),
        **others,
    }
    truth = truth_of(corpus.test)
    cider = Cider(truth)
    measures: dict[str, Callable[[Sequence[str]], float]] = {
        _name(f"BLEU-{order}", truth): partial(bleu, truth=truth, order=order) for order in _ORDERS
    }
    published = dict(zip(measures, _REFERENCES.get(corpus.name, ()), strict=False))
    people = dict(zip(measures, _people(truth) if min(map(len, truth)) > 1 else (), strict=False))
    measures[f"CIDEr-D, {BEAMS} beams"] = lambda found: cider.score([words_of(caption) for caption in found])
    measures[f"different captions, {BEAMS} beams, %"] = lambda found: 100 * len(set(found)) / len(found)
    return [
        Quality(
            metric=metric,
            dataset=corpus.name,
            split=corpus.split,
            value=measure(told[""]),
            higher_is_better=True,
            baselines={
                **{name: measure(found) for name, found in told.items() if name},
                **({"a person against the others": people[metric]} if metric in people else {}),
            },
            references={"soft attention (Xu et al. 2015)": published[metric]} if metric in published else {},
        )
        for metric, measure in measures.items()
    ]


def _name(measure: str, truth: Sequence[Sequence[Sequence[str]]]) -> str:
    """With the parts of sacrebleu's signature that say how it was measured."""
    most = max(map(len, truth))
    return f"{measure}, {BEAMS} beams (nrefs:{most} case:lc eff:no tok:none smooth:none)"


def truth_of(pictures: Sequence[Picture]) -> list[list[list[str]]]:
    """Of each picture the words of what people say."""
    return [[words_of(caption) for caption in picture.captions] for picture in pictures]


def bleu(found: Sequence[str], truth: Sequence[Sequence[Sequence[str]]], order: int) -> float:
    """Of lower-cased words without marks, against all that people say of a picture; not smoothed."""
    most = max(map(len, truth))
    texts = [[" ".join(words) for words in said] for said in truth]
    # A picture of which fewer people say something has what one of them says twice.
    references = [[said[min(place, len(said) - 1)] for said in texts] for place in range(most)]
    metric = sacrebleu.BLEU(max_ngram_order=order, tokenize="none", force=True, smooth_method="none")
    return float(metric.corpus_score([" ".join(words_of(caption)) for caption in found], references).score)


def _people(truth: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """What a person's caption gets against those of the others, the mean over the persons, for each order."""
    persons = range(min(map(len, truth)))
    found = []
    for order in _ORDERS:
        scores = [
            bleu(
                [" ".join(said[person]) for said in truth],
                [[words for other, words in enumerate(said) if other != person] for said in truth],
                order,
            )
            for person in persons
        ]
        found.append(float(np.mean(scores)))
    return found
