"""The figures of a card: single words and strings, and what further runs say of unseen speakers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.bundle.manifest import MANIFEST_FILE, Manifest, Quality
from app.core.errors import DataError
from training.graph_net import MeasuredNet
from training.transcribe.baselines import nearest
from training.transcribe.clips import Corpus
from training.transcribe.measure import as_strings, log_probabilities, single_words, texts, word_errors
from training.transcribe.settings import TranscribeSettings
from training.transcribe.strings import plain_strings

_SEED, _JOINED = 1, 7
_WORD, _EXACT, _STRINGS = (
    "single words right, among those known",
    "single words written exactly",
    "WER of strings",
)
_UNHEARD = "whom training has not heard"


def figures(
    net: MeasuredNet, corpus: Corpus, step: int, settings: TranscribeSettings, *, baselines: bool = True
) -> list[Quality]:
    """Of the test part; those of single words only where each sound is one."""
    found: list[Quality] = []

    def add(metric: str, value: float, higher: bool, beside: dict[str, float]) -> None:
        found.append(
            Quality(
                metric=metric,
                dataset=corpus.title,
                split=corpus.split,
                value=value,
                higher_is_better=higher,
                baselines=beside,
            )
        )

    units, clips = corpus.units, corpus.test
    logs = log_probabilities(net, as_strings(clips), corpus.rate, step)
    told = texts(logs, units)
    if not corpus.single:
        add("WER", word_errors([clip.text for clip in clips], told), False, {})
        return found
    truth = np.array([clip.labels[0] for clip in clips])
    beside = {}
    if baselines:
        beside["5 nearest neighbours"] = float((nearest(corpus.train, clips, corpus.rate) == truth).mean())
    right = single_words(logs, len(units.texts)) == truth
    add(_WORD, float(right.mean()), True, beside)
    exact = [one == clip.text for one, clip in zip(told, clips, strict=True)]
    add(_EXACT, float(np.mean(exact)), True, {})
    strings = plain_strings(clips, corpus.rate, _JOINED, settings.gap_s, 0.5, _SEED)
    told = texts(log_probabilities(net, strings, corpus.rate, step), units)
    add(_STRINGS, word_errors([string.text for string in strings], told), False, {})
    return found


def unseen(folder: Path) -> list[Quality]:
    """Mean and worst speaker of bundles whose test speaker training has not heard.

    One run says little of a strange voice, so the figure of a speaker is the mean of all runs without them.

    Raises:
        DataError: there is none in the folder.
    """
    found: dict[str, dict[str, list[Quality]]] = {}
    for file in sorted(folder.rglob(MANIFEST_FILE)):
        for quality in Manifest.model_validate_json(file.read_bytes()).quality:
            if quality.split.endswith(_UNHEARD):
                found.setdefault(quality.metric, {}).setdefault(quality.split, []).append(quality)
    if not found:
        raise DataError(f"--figures {folder.name!r} holds no bundle of a run with --hold-out")
    made: list[Quality] = []
    for speakers in found.values():
        runs = sum(len(each) for each in speakers.values())
        split = f"speakers {_UNHEARD}, {runs} runs without one of them"
        each = [_mean(of_one, split) for of_one in speakers.values()]
        made.append(_mean(each, f"{split}: mean"))
        sign = 1 if each[0].higher_is_better else -1
        worst = min(each, key=lambda quality: sign * quality.value)
        made.append(worst.model_copy(update={"split": f"{split}: worst"}))
    return made


def _mean(figures: Sequence[Quality], split: str) -> Quality:
    beside = {
        name: float(np.mean([figure.baselines[name] for figure in figures])) for name in figures[0].baselines
    }
    value = float(np.mean([figure.value for figure in figures]))
    return figures[0].model_copy(update={"split": split, "value": value, "baselines": beside})
