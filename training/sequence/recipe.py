"""Sequences of numbers or letters in, a bundle that tells a class or a number out."""

from __future__ import annotations

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
from app.features.text import TextCodec
from app.tasks.sequence.spec import Column, NamedOutput, SequenceSpec
from training.data.download import DataStore
from training.graph_net import GraphNet
from training.options import override, pick
from training.recipe import Recipe, UserModule, check_choice, first_tokens
from training.sequence.baselines import baselines
from training.sequence.batches import Batch, num_batches, training_batches
from training.sequence.data import load
from training.sequence.measure import answers, decided, figures, measure
from training.sequence.net import OUTPUT, Reader, ReaderConfig, Scale
from training.sequence.notes import NOTES, USER_NOTES
from training.sequence.series import Corpus, judged
from training.sequence.settings import BUILT_IN, PRESETS, SequenceOptions, SequenceSettings
from training.sequence.surnames import NAME

_LEAST_DEVIATION = 1e-6


class SequenceRecipe(Recipe[Reader, Batch]):
    """A network that reads sequences of any kind."""

    task = "sequence"
    about = "Train a network on sequences of readings or letters, built-in or in your own CSV, and export it."
    DataOptions = SequenceOptions
    Settings = SequenceSettings

    def __init__(self, options: SequenceOptions, settings: SequenceSettings, corpus: Corpus) -> None:
        self.settings, self.sources, self.tokenizer = settings, corpus.sources, corpus.tokenizer
        self.recorded = {"dataset": options.dataset, "csv": options.csv}
        if options.csv is not None:
            names = ("group", "time", "inputs", "text", "target", "kind", "ahead", "split")
            self.recorded |= {name: getattr(options, name) for name in names}
        self._dataset, self._corpus = options.dataset, corpus
        self._classes = bool(corpus.labels)
        truth = judged(corpus.train)
        self._deviation = max(float(truth.std()), _LEAST_DEVIATION)
        self._mean = float(truth.mean())
        self._weights = self._class_weights(truth)
        self._missing = self._missing_columns()

    @classmethod
    def load(cls, options: SequenceOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        check_choice(options.dataset, options.csv, "--csv", BUILT_IN)
        settings = override(PRESETS.get(options.dataset or "", SequenceSettings()), given)
        return cls(options, settings, load(options, data, settings.seed))

    def bundle_name(self) -> str:
        return self._dataset or self.task

    def build_net(self) -> Reader:
        vocabulary = 0 if self.tokenizer is None else TextCodec(self.tokenizer).size
        config = pick(
            ReaderConfig,
            self.settings,
            outputs=len(self._corpus.labels) or 1,
            vocabulary=vocabulary,
            columns=len(self._corpus.columns),
            masked=any(self._missing),
        )
        target = None if self._classes else Scale((self._mean,), (self._deviation,))
        return Reader(config, None if vocabulary else self._scale(), target)

    @property
    def batches_per_epoch(self) -> int:
        return num_batches(self._corpus.train, self.settings.window, self.settings.batch)

    def batches(self, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng((self.settings.seed, epoch))
        return training_batches(self._corpus.train, self.settings.window, self.settings.batch, random)

    def loss(self, net: Reader, batch: Batch) -> Tensor:
        """Cross-entropy, or the smoothed absolute error in deviations, of the steps that have a target."""
        steps, targets = batch.steps.to(net.device), batch.targets.to(net.device)
        outputs, _ = net(steps, net.start_row().expand(len(steps), -1).contiguous())
        judged_here = torch.isfinite(targets)
        said, truth = outputs[OUTPUT].float()[judged_here], targets[judged_here]
        if self._classes:
            return functional.cross_entropy(said, truth.long(), self._weights.to(net.device))
        return functional.smooth_l1_loss(said[:, 0] / self._deviation, truth.float() / self._deviation)

    def validate(self, net: Reader) -> float:
        """What accuracy and macro F1 lack to one; of numbers the mean absolute error in deviations."""
        series = self._corpus.validation
        said = decided(answers(net, series), classes=self._classes)
        found = figures(judged(series), said, classes=self._classes)
        if self._classes:
            return 2.0 - found["accuracy"] - found["macro F1"]
        return found["MAE"] / self._deviation

    def measure(self, net: Reader) -> list[Quality]:
        return measure(net, self._corpus, baselines(self._corpus, self.settings.seed))

    @classmethod
    def measure_again(cls, bundle: Bundle, store: DataStore) -> list[Quality]:
        if not any(
            source.name.startswith("language_modelling/names/") for source in bundle.manifest.provenance.data
        ):
            return []
        corpus = load(SequenceOptions(dataset=NAME), store.folder, bundle.manifest.provenance.seed)
        return measure(GraphNet(bundle), corpus)

    @property
    def spec(self) -> SequenceSpec:
        corpus = self._corpus
        columns = zip(corpus.columns, self._missing, strict=True)
        return SequenceSpec(
            columns=tuple(Column(name=name, missing=missing) for name, missing in columns),
            vocabulary=None if self.tokenizer is None else TextCodec(self.tokenizer).size,
            outputs=(NamedOutput(name=corpus.target, size=len(corpus.labels) or 1, labels=corpus.labels),),
            read="last" if corpus.last else "each",
        )

    @property
    def description(self) -> str:
        corpus = self._corpus
        told = f"{corpus.target} ({', '.join(corpus.labels)})" if corpus.labels else corpus.target
        return f"Tells {told} from {', '.join(corpus.columns) or 'letters'}."

    @property
    def notes(self) -> str:
        return NOTES.get(self._dataset or "", USER_NOTES)

    def golden_steps(self) -> NDArray[np.generic]:
        """The beginning of the test part."""
        if self.tokenizer is not None:
            return first_tokens(series.steps.tolist() for series in self._corpus.test)
        rows = np.concatenate([series.steps[-24:] for series in self._corpus.test[:3]])
        return np.resize(rows, (3, 24, rows.shape[1])).astype(np.float32)

    @staticmethod
    def module_spec(module: UserModule) -> SequenceSpec:
        if module.labels and module.outputs != len(module.labels):
            raise ExportError(
                f"the linear head has {module.outputs} outputs, but there are {len(module.labels)} labels"
            )
        output = NamedOutput(name="output", size=module.outputs, labels=module.labels)
        return SequenceSpec(
            columns=tuple(Column(name=name) for name in module.columns),
            vocabulary=module.vocabulary or None,
            outputs=(output,),
            read="each",
        )

    def _class_weights(self, truth: NDArray[np.float64]) -> Tensor:
        """Of a class ``(mean count / count) ** class_weights``."""
        if not self._classes:
            return torch.ones(1)
        counts = np.maximum(1, np.bincount(truth.astype(np.int64), minlength=len(self._corpus.labels)))
        weights = (counts.mean() / counts) ** self.settings.class_weights
        return torch.from_numpy(weights.astype(np.float32))

    def _missing_columns(self) -> list[bool]:
        """A column that is never missing in the data has to be there when it is served."""
        parts = (*self._corpus.train, *self._corpus.validation, *self._corpus.test)
        return [
            any(bool(np.isnan(series.steps[:, column]).any()) for series in parts)
            for column in range(len(self._corpus.columns))
        ]

    def _scale(self) -> Scale:
        rows = np.concatenate([series.steps for series in self._corpus.train]).astype(np.float64)
        known = np.ma.masked_invalid(rows)
        mean = np.ma.filled(known.mean(axis=0), 0.0)
        deviation = np.ma.filled(known.std(axis=0), 1.0)
        # One that never changes says nothing; dividing by next to nothing would make it say much.
        return Scale(
            tuple(mean.tolist()), tuple(np.where(deviation > _LEAST_DEVIATION, deviation, 1.0).tolist())
        )
