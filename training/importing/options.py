"""What an import is told, by flags or by a TOML file of the same names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.bundle.manifest import Name, Version
from app.core.errors import ConfigurationError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ColumnOptions(_Part):
    """A number of a step: the network is fed ``(x - mean) / deviation``, and 0 where it is missing."""

    name: str
    unit: str | None = None
    mean: float = 0.0
    deviation: float = Field(default=1.0, gt=0)
    missing: bool = False


class OutputOptions(_Part):
    """An output, by its name in the graph, and what it means; a number is ``y * deviation + mean``."""

    graph: str
    name: str | None = None
    labels: tuple[str, ...] = ()
    scores: Literal["logits", "probabilities"] | None = None
    columns: tuple[str, ...] = ()
    unit: str | None = None
    mean: float = 0.0
    deviation: float = 1.0


def _axis(value: Any) -> Any:
    if value in (None, "none"):
        return value
    try:
        return int(value)
    except (TypeError, ValueError):
        return value


def _listed(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Axis = Annotated[int | Literal["none"] | None, BeforeValidator(_axis)]


class ImportOptions(_Part):
    """Everything; what is left out is guessed, and the guess shown.

    Attributes:
        model: the ONNX file.
        state: pairs ``input:output``.
        input: the input that gets the steps.
        output: those outputs that are served.
        time_axis, batch_axis: of that input; ``none`` where it has none.
        set: values of inputs that are neither steps nor states, by name.
        step: numbers of a step, where the graph does not say; the input has no time axis then.
        context: so many of the last numbers of a step come again in front of the next one.
        one_hot: steps are tokens, which the network gets as vectors with a single one.
        columns: of a step; names alone, or what :class:`ColumnOptions` says.
        clip: largest magnitude of a normalised number.
        outputs: what :class:`OutputOptions` says, in place of ``output``, ``labels`` and ``scores``.
        labels: of the first output, or a text file with one on each line.
        exact: keep the promise of equal bits, if need be by running rows and steps one by one.
        samples: a ``.npy`` file of real steps ``[time, width]``, to be recorded in place of random ones.
    """

    model: Path
    name: Name
    version: Version = "1"
    out: Path
    state: tuple[str, ...] = ()
    input: str | None = None
    output: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    time_axis: Axis = None
    batch_axis: Axis = None
    set: dict[str, float | int | bool] = Field(default_factory=dict)
    step: int | None = Field(default=None, ge=1, le=1_000_000)
    context: int = Field(default=0, ge=0, le=1_000_000)
    one_hot: bool = False
    vocabulary: int | None = Field(default=None, ge=2)
    tokenizer: Path | None = None
    columns: tuple[ColumnOptions, ...] = ()
    clip: float | None = Field(default=None, gt=0)
    outputs: tuple[OutputOptions, ...] = ()
    labels: tuple[str, ...] | Path = ()
    scores: Literal["logits", "probabilities"] | None = None
    read: Literal["last", "each"] = "each"
    exact: bool = False
    samples: Path | None = None
    description: str = Field(default="", max_length=500)

    def label_names(self) -> tuple[str, ...]:
        """Raises ConfigurationError: the file cannot be read."""
        if not isinstance(self.labels, Path):
            return self.labels
        try:
            lines = self.labels.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read the labels in {str(self.labels)!r}: {error}") from error
        return tuple(line.strip() for line in lines if line.strip())


def parse_options(flags: dict[str, Any], config: Path | None) -> ImportOptions:
    """Flags that were given, over what the file says.

    Raises:
        ConfigurationError: an option is unknown or wrong; the message names it.
    """
    given: dict[str, Any] = {}
    if config is not None:
        try:
            given = tomllib.loads(config.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"cannot read {str(config)!r}: {error}") from error
    given |= {name: value for name, value in flags.items() if value not in (None, [], ())}
    columns = given.get("columns")
    if isinstance(columns, str):
        columns = [part.strip() for part in columns.split(",")]
    if isinstance(columns, list | tuple):
        given["columns"] = [{"name": each} if isinstance(each, str) else each for each in columns]
    if isinstance(given.get("set"), list | tuple):
        given["set"] = dict(_pair(text, "set") for text in given["set"])
    try:
        return ImportOptions.model_validate(given)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"--{where.replace('_', '-')}: {first['msg']}") from error


def _pair(text: str, flag: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigurationError(f"--{flag} {text!r} is not NAME=NUMBER")
    if value in ("true", "false"):
        return name, value == "true"
    try:
        return name, int(value) if value.lstrip("+-").isdigit() else float(value)
    except ValueError:
        raise ConfigurationError(f"--{flag} {text!r}: {value!r} is not a number") from None
