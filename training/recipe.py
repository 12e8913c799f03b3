"""What a task says about its training; the pipeline in ``training.run`` does the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from app.bundle.manifest import Quality, Source, Spec
from app.bundle.reader import Bundle
from app.core.errors import DataError, InvalidInput
from app.features.text import TextCodec
from training.data.download import DataStore
from training.exportable import ExportableEncoder
from training.loop_config import FitReport
from training.stage import Stage

NetT = TypeVar("NetT", bound=nn.Module)
BatchT = TypeVar("BatchT")


NO_TEXT = "this task reads text: give a tokenizer, in place of columns and readings"


@dataclass(frozen=True, slots=True)
class UserModule:
    """A module of the user's own, as far as the spec of its bundle depends on it.

    Attributes:
        codec: the tokenizer; ``None`` for a network of numbers.
        vocabulary: rows of the embedding; 0 for a network of numbers.
        outputs: numbers that a step yields.
        columns: names of the numbers of a step.
        labels: names of the outputs, where they have names.
        start_token: fed when a text is empty; ``None`` leaves it to the tokenizer.
        end_token: ends a text when it is produced.
    """

    codec: TextCodec | None
    vocabulary: int
    outputs: int
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    start_token: int | None = None
    end_token: int | None = None


class Recipe(Protocol[NetT, BatchT]):
    """One run of a task's training: its settings, and its data, loaded.

    Batches must depend on the epoch and the settings' seed alone, so that an interrupted run can be
    resumed to the same bits.
    """

    task: ClassVar[str]
    """Of the bundles it makes, and the command's name."""
    about: ClassVar[str]
    """Help of the command."""
    DataOptions: ClassVar[type[Any]]
    """A dataclass of the options that choose the data."""
    Settings: ClassVar[type[Any]]
    """A dataclass of all else that decides the result; holds what :class:`training.loop.LoopConfig` needs."""

    recorded: dict[str, Any]
    """The options of the data, as the recorded command names them."""
    settings: Any
    sources: tuple[Source, ...]
    tokenizer: str | None
    """JSON of the tokenizer, made from the training part."""

    @classmethod
    def load(cls, options: Any, given: Mapping[str, Any], data: Path | None) -> Self:
        """Read the data and settle the settings.

        Args:
            options: an instance of ``DataOptions``.
            given: settings that the user gave, by name; ``None`` where not.
            data: folder with the public data sets.

        Raises:
            TrainingError: data or settings cannot be used; the message says why.
        """

    def bundle_name(self) -> str:
        """Of a bundle for which the user gave no name."""

    decided: tuple[str, ...] = ()
    """Settings that the network to go on from decides; the recorded command does not name them."""
    starts_trained: bool = False
    """Whether :meth:`build_net` returns a network that may be as good as what training makes of it."""

    def build_net(self) -> NetT:
        """The untrained network, or the one to go on from; the generators are seeded."""

    def before(self, net: NetT) -> Stage | None:
        """What to train first, with the weights of ``net``; ``None`` for nothing."""
        return None

    def files(self, net: NetT) -> dict[str, bytes]:
        """Further files of the bundle by name."""
        return {}

    @property
    def batches_per_epoch(self) -> int:
        """About how many batches an epoch has."""

    def batches(self, epoch: int) -> Iterable[BatchT]: ...

    def loss(self, net: NetT, batch: BatchT) -> Tensor:
        """A scalar to minimise."""

    def blame(self, batch: BatchT) -> str:
        """What a batch was made of, for a message about it; empty where that says nothing."""
        return ""

    def validate(self, net: NetT) -> float:
        """Lower is better."""

    def after(self, net: NetT, report: FitReport) -> NetT:
        """The network to export, with what is settled on held-out data once the weights are chosen."""
        return net

    def measure(self, net: NetT) -> list[Quality]:
        """Figures of the test part, with the baselines measured beside them."""

    @classmethod
    def measure_again(cls, bundle: Bundle, store: DataStore) -> list[Quality]:
        """The figures of a bundle's graph on public data, by the same function; empty for a user's data."""

    @property
    def spec(self) -> Spec: ...

    @property
    def description(self) -> str:
        """One sentence for people choosing a model."""

    @property
    def notes(self) -> str:
        """Markdown for the model card: intended use, data, limits; asked for after :meth:`measure`."""

    def golden_steps(self) -> NDArray[np.generic]:
        """Steps to record in the bundle, ``[batch, time, ...]``."""

    def encoder(self, net: NetT) -> ExportableEncoder | None:
        """What reads a whole input before the network's first step, if anything does."""
        return None

    def golden_inputs(self) -> Sequence[NDArray[np.generic]]:
        """Of the encoder, one for each of the golden steps."""
        return ()

    @staticmethod
    def module_spec(module: UserModule) -> Spec:
        """The spec of a bundle of the user's own module.

        Raises:
            ExportError: the module does not fit the task.
        """


def check_choice(dataset: str | None, file: Path | None, flag: str, known: Collection[str]) -> None:
    """Ask for exactly one of a built-in data set and a file of the user's.

    Raises:
        DataError: none or both are given, or the data set is unknown.
    """
    if (dataset is None) == (file is None):
        raise DataError(f"give either {flag} FILE or --dataset NAME; data sets: {', '.join(known)}")
    if dataset is not None and dataset not in known:
        raise DataError(f"unknown data set {dataset!r}; allowed: {', '.join(known)}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What is wrong with a file of the user's own, and with its columns, as DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {path.name!r}: {error.strerror}") from error
    except InvalidInput as error:
        allowed = (
            f"; allowed: {', '.join(map(str, error.allowed))}" if isinstance(error.allowed, list) else ""
        )
        raise DataError(f"{path.name!r}, {error.field}: {error.message}{allowed}") from error


def file_source(path: Path) -> Source:
    """What a manifest records of a file of the user's own.

    Raises:
        DataError: it cannot be read.
    """
    with reading(path):
        return Source(name=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def first_tokens(sequences: Iterable[Iterable[int]]) -> NDArray[np.int64]:
    """Golden steps ``[3, 24]`` of texts: their first tokens, repeated if they are few."""
    joined: list[int] = []
    for sequence in sequences:
        joined += sequence
        if len(joined) >= 72:
            break
    return np.resize(np.asarray(joined[:72], np.int64), (3, 24))
