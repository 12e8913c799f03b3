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
from torch.nn import functional

from app.bundle.manifest import Quality
from app.bundle.reader import Bundle
from app.core.errors import ExportError
from app.tasks.transcribe.ctc import BLANK
from app.tasks.transcribe.spec import TranscribeSpec
from training.data.download import DataStore
from training.graph_net import GraphNet
from training.options import override, pick
from training.recipe import Recipe, UserModule, check_choice
from training.transcribe.batches import UNTOLD, Batch, batch_of, batches
from training.transcribe.clips import Corpus
from training.transcribe.data import FSDD, YESNO_FILE, load
from training.transcribe.figures import figures, unseen
from training.transcribe.measure import edits, written
from training.transcribe.net import BANDS, FEATURES, OUTPUT, STEP_S, Hearer, HearerConfig, mel_matrix
from training.transcribe.notes import NOTES, USER_NOTES
from training.transcribe.settings import (
    BUILT_IN,
    DIGITS,
    PRESETS,
    YESNO,
    TranscribeOptions,
    TranscribeSettings,
)
from training.transcribe.strings import String, plain_strings, training_strings

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
        self._validation = batch_of(
            plain_strings(corpus.validation, corpus.rate, settings.join, settings.gap_s, 0.5, settings.seed),
            round(STEP_S * corpus.rate),
        )

    @classmethod
    def load(cls, options: TranscribeOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        check_choice(options.dataset, options.csv, "--csv", BUILT_IN)
        settings = override(PRESETS.get(options.dataset or "", TranscribeSettings()), given)
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
        strings = [
            *itertools.islice(
                self._strings(np.random.default_rng(self.settings.seed), self.settings.flat_epochs),
                _SETTLED_ON,
            )
        ]
        batch = batch_of(strings, net.step_samples)
        features = net.features(batch.steps, torch.zeros(len(strings), net.tail))
        net.settle(torch.cat([row[:length] for row, length in zip(features, batch.lengths, strict=True)]))
        return net

    @property
    def batches_per_epoch(self) -> int:
        settings = self.settings
        clips = len(self._corpus.train) * settings.copies
        strings = [2 * clips / (1 + self._join(epoch)) for epoch in range(settings.epochs)]
        return max(1, round(sum(strings) / len(strings) / settings.batch))

    def _join(self, epoch: int) -> int:
        return min(self.settings.join, 1 + epoch // 3)

    def _strings(self, random: np.random.Generator, epoch: int) -> Iterator[String]:
        """At first few sounds are joined, and they are changed little: that is learned fastest."""
        settings = self.settings
        share = min(1.0, epoch / max(1, 2 * settings.flat_epochs))
        noise = {name: getattr(settings, name) * share for name in ("speed", "warp", "noise")}
        changed = dataclasses.replace(settings, join=self._join(epoch), **noise)
        return training_strings(self._corpus.train, self._corpus.rate, changed, random)

    def batches(self, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng((self.settings.seed, epoch))
        strings = self._strings(random, epoch)
        step, aligned = round(STEP_S * self._corpus.rate), epoch < self.settings.flat_epochs
        return batches(strings, self.settings.batch, step, random, aligned=aligned)

    def loss(self, net: Hearer, batch: Batch) -> Tensor:
        """Connectionist temporal classification (Graves et al. 2006), of warped, masked features."""
        steps = batch.steps.to(net.device)
        with torch.no_grad():
            rate = self._corpus.rate
            mels = np.stack([mel_matrix(net.frame, rate, warp) for warp in batch.warps])
            mels *= self._coloured(len(mels))
            tail = steps.new_zeros(len(steps), net.tail)
            features = net.features(steps, tail, torch.from_numpy(mels).to(net.device))
            if batch.aligned is None:
                features = self._masked(net, features)
        before = net.recurrent.start.expand(len(steps), -1).contiguous()
        logits = net.heard(features, before)[0]
        if batch.aligned is None:
            return self._ctc(logits, batch)
        aligned = batch.aligned.to(net.device).flatten()
        return functional.cross_entropy(logits.flatten(0, 1), aligned, ignore_index=UNTOLD)

    def _coloured(self, count: int) -> NDArray[np.float32]:
        """Factors of the bands ``[count, 1, BANDS]``, as of another microphone or voice: smooth curves."""
        waves = np.cos(np.pi * np.outer(np.arange(1, 5), np.arange(BANDS) / BANDS))
        sizes = torch.randn(count, 4).numpy() * (self.settings.colour / np.arange(1, 5))
        return np.exp(sizes @ waves)[:, None].astype(np.float32)

    def _ctc(self, logits: Tensor, batch: Batch) -> Tensor:
        logs = torch.log_softmax(logits.float(), dim=2).transpose(0, 1)
        return functional.ctc_loss(
            logs, batch.labels, batch.lengths, batch.label_lengths, blank=BLANK, zero_infinity=True
        )

    def _masked(self, net: Hearer, features: Tensor) -> Tensor:
        """Two stretches of bands of each string are hidden behind their mean (Park et al. 2019)."""
        if not self.settings.mask:
            return features
        places = torch.arange(FEATURES, device=features.device)
        hidden = torch.zeros(len(features), FEATURES, dtype=torch.bool, device=features.device)
        for _ in range(2):
            width = torch.randint(0, self.settings.mask + 1, (len(features), 1), device=features.device)
            first = torch.randint(0, FEATURES, (len(features), 1), device=features.device)
            hidden |= (places >= first) & (places < first + width)
        return torch.where(hidden[:, None, None], net.mean, features)

    def validate(self, net: Hearer) -> float:
        """Share of labels that are wrong, and a little of the loss, which tells equal shares apart."""
        batch = self._validation
        start = net.start_row().expand(len(batch.steps), -1).contiguous()
        logits = net(batch.steps.to(net.device), start)[0][OUTPUT].detach().cpu()
        wrong = label_errors(logits, batch)
        return wrong + _LOSS_SHARE * float(self._ctc(logits, batch))

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
        settings = PRESETS[names[0]]
        return figures(GraphNet(bundle), corpus, spec.step_samples, settings, baselines=False)

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


def label_errors(logits: Tensor, batch: Batch) -> float:
    """Labels to insert, drop or replace, by all labels."""
    errors, first = 0, 0
    labels = batch.labels.tolist()
    for row, (length, count) in enumerate(
        zip(batch.lengths.tolist(), batch.label_lengths.tolist(), strict=True)
    ):
        said = [str(label) for label in labels[first : first + count]]
        first += count
        errors += edits(said, [str(label) for label in written(logits[row, :length].numpy())])
    return errors / max(1, len(labels))
