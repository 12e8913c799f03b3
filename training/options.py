"""Settings as dataclasses, and what follows from them: command line flags, and the recorded command.

Each field is annotated with its flag's help; what several recipes set is annotated once, here.
"""

from __future__ import annotations

import dataclasses
import inspect
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ConfigT = TypeVar("ConfigT", bound="DataclassInstance")

CellName = Annotated[Literal["rnn", "lstm", "gru"], typer.Option(help="Recurrent cell.")]
NonlinearityName = Annotated[Literal["tanh", "relu"], typer.Option(help="Of the rnn cell.")]
Layers = Annotated[int, typer.Option(min=1, help="Recurrent layers.")]
Hidden = Annotated[int, typer.Option(min=1, help="Units of each layer.")]
HeadDropout = Annotated[float, typer.Option(min=0, max=1, help="Between layers and before the head.")]
Embedding = Annotated[int, typer.Option(min=1, help="Features of a token.")]
EmbeddingDropout = Annotated[float, typer.Option(min=0, max=1, help="On the features of tokens.")]
RecurrentDropout = Annotated[float, typer.Option(min=0, max=1, help="On the hidden-to-hidden weights.")]
Epochs = Annotated[int, typer.Option(help="At most.")]
Patience = Annotated[int, typer.Option(help="Epochs without gain before stopping.")]
LearningRate = Annotated[float, typer.Option(help="At its highest.")]
WeightDecay = Annotated[float, typer.Option(help="Of weight matrices.")]
ClipNorm = Annotated[float, typer.Option(help="Longest gradient.")]
WarmupSteps = Annotated[int, typer.Option(help="Steps of a rising learning rate.")]
AverageDecay = Annotated[float, typer.Option(help="Of the kept moving average; 0: none.")]
PrecisionName = Annotated[Literal["float32", "bfloat16"], typer.Option(help="Of the arithmetic in training.")]
OptimizerName = Annotated[Literal["adamw", "sgd"], typer.Option(help="What takes the steps.")]
Seed = Annotated[int, typer.Option(min=0, help="Of every generator.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What does not decide the result of a run."""

    name: Annotated[str | None, typer.Option(help="Of the bundle; told by the data if left out.")] = None
    version: Annotated[str, typer.Option(help="Of the bundle.")] = "1"
    out: Annotated[Path, typer.Option(help="The models folder.")] = Path("models")
    data: Annotated[Path | None, typer.Option(help="Folder with the public data sets.")] = None
    checkpoint: Annotated[Path | None, typer.Option(help="Keeps the run after every epoch.")] = None
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint.")] = False
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all if left out.")] = None
    quiet: Annotated[bool, typer.Option(help="Show no progress.")] = False


def flags_of(kind: type[DataclassInstance], *, optional: bool = False) -> Iterator[inspect.Parameter]:
    """The flags of a dataclass's fields, in order.

    Args:
        kind: each of its fields is annotated with a ``typer.Option``.
        optional: a flag that is left out is ``None`` instead of the field's default.
    """
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        annotation, default = hints[field.name], field.default
        if optional:
            # The outer annotation is kept, so that None is allowed inside of it.
            (option,) = annotation.__metadata__
            annotation, default = Annotated[annotation.__origin__ | None, option], None
        elif default is dataclasses.MISSING:
            default = None
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )


def pick(kind: type[ConfigT], source: object, **more: object) -> ConfigT:
    """A dataclass from the attributes or keys of ``source`` that are named like its fields, and ``more``."""
    found = source if isinstance(source, Mapping) else None
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in more:
            values[field.name] = more[field.name]
        elif found is not None and field.name in found:
            values[field.name] = found[field.name]
        elif found is None and hasattr(source, field.name):
            values[field.name] = getattr(source, field.name)
    return kind(**values)


def override(settings: ConfigT, given: Mapping[str, Any]) -> ConfigT:
    """``settings`` with those options that were given (are not ``None``)."""
    names = {field.name for field in dataclasses.fields(settings)}
    return dataclasses.replace(
        settings, **{name: value for name, value in given.items() if name in names and value is not None}
    )


def recorded_command(task: str, options: Mapping[str, Any]) -> str:
    """The command line that repeats a run: every option spelled out, no path of this machine."""
    words = ["rnnserve-train", task]
    repeated: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, list | tuple):
            repeated += [word for item in value for word in (flag, str(item))]
        elif value is not None:
            words += [flag, value.name if isinstance(value, Path) else str(value)]
    return shlex.join([*words, *repeated])
