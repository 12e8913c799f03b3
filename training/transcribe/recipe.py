"""Sounds and what is said in them in, a bundle that writes down what it hears out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.bundle.manifest import Quality
from app.bundle.reader import Bundle
from app.core.errors import ExportError
from app.tasks.transcribe.spec import TranscribeSpec
from training.data.download import DataStore
from training.graph_net import GraphNet
from training.options import override, pick
from training.recipe import Recipe, UserModule, check_choice
from training.transcribe.batches import Batch, batches
from training.transcribe.clips import Corpus
from training.transcribe.data import FSDD, YESNO_FILE, load
from training.transcribe.figures import figures, unseen
from training.transcribe.front import BANDS, FEATURES
from training.transcribe.losses import ctc, ctc_of, flat_start, told_elsewhere
from training.transcribe.measure import edits, log_probabilities, written
from training.transcribe.net import STEP_S, Hearer, HearerConfig, mel_matrix
from training.transcribe.notes import NOTES, USER_NOTES
from training.transcribe.settings import (
    BUILT_IN,
    DIGITS,
    YESNO,
    TranscribeOptions,
    TranscribeSettings,
)
from training.transcribe.spectra import Heard, Spoken, training_strings
from training.transcribe.strings import plain_strings

_SETTLED_ON = 256
"""Strings whose features say how features are normalised."""
_LOSS_SHARE = 0.1


class TranscribeRecipe(Recipe[Hearer, Batch]):
    """A network that writes down what it hears."""

    task = "transcribe"
    about = "Train a network that writes down speech, on built-in sounds or your own, and export it."
    DataOptions = TranscribeOptions
    Settings = TranscribeSettings
    tokenizer = None

    def __init__(self, options: TranscribeOptions, settings: TranscribeSettings, corpus: Corpus) -> None:
        self.settings, self.sources = settings, corpus.sources
        names: tuple[str, ...] = ("dataset", "csv", "hold_out", "figures")
        if options.csv is not None:
            names = (*names, "audio", "text", "group", "unit", "vocab_size", "rate")
        self.recorded = {name: getattr(options, name) for name in names}
        self._options, self._corpus = options, corpus
        self._heard: list[Heard] = []
        known = [clip for clip in corpus.validation if clip.labels]
        self._validation = plain_strings(
            known, corpus.rate, settings.join, settings.gap_s, 0.5, settings.seed
        )

    @classmethod
    def load(cls, options: TranscribeOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        check_choice(options.dataset, options.csv, "--csv", BUILT_IN)
        settings = override(TranscribeSettings(), given)
        return cls(options, settings, load(options, data, settings.seed))

    def bundle_name(self) -> str:
        return self._options.dataset or self.task

    def build_net(self) -> Hearer:
        config = pick(
            HearerConfig,
            self.settings,
            labels=1 + len(self._corpus.units.texts),
            sample_rate=self._corpus.rate,
        )
        net = Hearer(config)
        known = [clip for clip in self._corpus.train if clip.labels]
        self._heard = [each for clip in known for each in Heard.of(net, clip)]
        random = np.random.default_rng(self.settings.seed)
        strings = itertools.islice(self._strings(self.settings.flat_epochs, random), _SETTLED_ON)
        net.settle(torch.from_numpy(np.concatenate([string.powers for string in strings])))
        return net

    @property
    def batches_per_epoch(self) -> int:
        clips = len(self._heard) * self._passes
        strings = [2 * clips / (1 + self._join(epoch)) for epoch in range(self.settings.epochs)]
        return max(1, round(sum(strings) / len(strings) / self.settings.batch))

    @property
    def _passes(self) -> int:
        """Little data is gone over again within an epoch, changed anew."""
        return max(1, round(self.settings.sounds / len(self._heard)))

    def _join(self, epoch: int) -> int:
        return min(self.settings.join, 1 + epoch // 2)

    def _strings(self, epoch: int, random: np.random.Generator) -> Iterator[Spoken]:
        """At first few sounds are joined, and they are changed little: that is learned fastest."""
        share = min(1.0, epoch / max(1, 2 * self.settings.flat_epochs))
        changes = {
            name: getattr(self.settings, name) * share for name in ("tempo", "warp", "colour", "noise")
        }
        changed = dataclasses.replace(self.settings, join=self._join(epoch), **changes)
        for _ in range(self._passes):
            yield from training_strings(self._heard, changed, random)

    def batches(self, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng((self.settings.seed, epoch))
        strings = self._strings(epoch, random)
        labels = 1 + len(self._corpus.units.texts)
        flat = epoch < self.settings.flat_epochs
        return batches(strings, self.settings.batch, labels, random, flat=flat)

    def loss(self, net: Hearer, batch: Batch) -> Tensor:
        """A flat start at first, then CTC; and always what is told where it is not said."""
        with torch.no_grad():
            powers, mels = batch.powers.to(net.device), self._mels(net, batch).to(net.device)
            features = self._masked(net.features(powers, mels))
        before = net.recurrent.start.expand(len(features), -1).contiguous()
        logs = torch.log_softmax(net.heard(features, before)[0].float(), dim=2)
        found = flat_start(logs, batch) if batch.flat else ctc(logs, batch)
        return found + told_elsewhere(logs, batch)

    def _mels(self, net: Hearer, batch: Batch) -> Tensor:
        """Warped, ``[batch, bins, BANDS]``, and coloured by smooth curves, as of another microphone."""
        mels = np.stack([mel_matrix(net.frame, self._corpus.rate, warp) for warp in batch.warps])
        waves = np.arange(1, 5)
        curves = np.cos(np.pi * np.outer(waves, np.arange(BANDS) / BANDS))
        sizes = torch.randn(len(mels), len(waves)).numpy() * np.outer(batch.colours, 1 / waves)
        return torch.from_numpy(mels * np.exp(sizes @ curves)[:, None].astype(np.float32))

    def _masked(self, features: Tensor) -> Tensor:
        """Two stretches of bands of each string are hidden behind their mean (Park et al. 2019)."""
        places = torch.arange(FEATURES, device=features.device)
        hidden = torch.zeros(len(features), FEATURES, dtype=torch.bool, device=features.device)
        for _ in range(2):
            width = torch.randint(0, self.settings.mask + 1, (len(features), 1), device=features.device)
            first = torch.randint(0, FEATURES, (len(features), 1), device=features.device)
            hidden |= (places >= first) & (places < first + width)
        return features.masked_fill(hidden[:, None, None], 0.0)

    def validate(self, net: Hearer) -> float:
        """Share of labels that are wrong, and a little of the loss, which tells equal shares apart."""
        strings, rate = self._validation, self._corpus.rate
        found = log_probabilities(net, strings, rate, net.step_samples)
        wrong = sum(edits(string.labels, written(logs)) for string, logs in zip(strings, found, strict=True))
        loss = sum(ctc_of(logs, string.labels) for string, logs in zip(strings, found, strict=True))
        return (wrong + _LOSS_SHARE * loss) / sum(len(string.labels) for string in strings)

    def measure(self, net: Hearer) -> list[Quality]:
        found = figures(net, self._corpus, net.step_samples, self.settings)
        if self._options.figures is not None:
            return [*unseen(self._options.figures), *found]
        return found

    @classmethod
    def measure_again(cls, bundle: Bundle, store: DataStore) -> list[Quality]:
        known = {FSDD: DIGITS, YESNO_FILE: YESNO}
        names = [known[source.name] for source in bundle.manifest.provenance.data if source.name in known]
        if not names:
            return []
        spec = bundle.manifest.spec_as(TranscribeSpec)
        corpus = load(TranscribeOptions(dataset=names[0]), store.folder, bundle.manifest.provenance.seed)
        return figures(GraphNet(bundle), corpus, spec.step_samples, TranscribeSettings(), baselines=False)

    @property
    def spec(self) -> TranscribeSpec:
        corpus = self._corpus
        return TranscribeSpec(
            unit=corpus.units.unit,
            units=corpus.units.texts,
            sample_rate=corpus.rate,
            step_samples=round(STEP_S * corpus.rate),
        )

    @property
    def description(self) -> str:
        units = self._corpus.units
        what = ", ".join(units.texts) if units.unit == "word" else "speech"
        return f"Writes down {what} from sound at {self._corpus.rate} Hz."

    @property
    def notes(self) -> str:
        return NOTES.get(self._options.dataset or "", USER_NOTES)

    def golden_steps(self) -> NDArray[np.float32]:
        """The beginning of three strings of the test part."""
        step = round(STEP_S * self._corpus.rate)
        strings = plain_strings(self._corpus.test, self._corpus.rate, 3, 0.2, 0.0, 0)
        rows = [np.resize(string.samples, 24 * step).reshape(24, step) for string in strings]
        return np.resize(np.stack(rows[:3]), (3, 24, step)).astype(np.float32)

    @staticmethod
    def module_spec(module: UserModule) -> TranscribeSpec:
        raise ExportError(
            "a network that hears has its spectrum in the graph; train it with this task's recipe"
        )
