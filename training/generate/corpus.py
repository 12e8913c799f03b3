"""Plain text for language models: read, split without leaking, cut into batches.

A *stream* is one long text, read in order with the state carried along; *lines* are many short
texts, each of which starts afresh and ends with a line end.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.core.errors import DataError

IGNORED = -100
Unit = Literal["character", "word"]
_PART = 0.1


@dataclass(frozen=True, slots=True)
class TextSplit:
    """Three parts of a corpus; each holds one text (a stream) or many (lines)."""

    train: list[str]
    validation: list[str]
    test: list[str]


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Steps of a language model.

    Attributes:
        inputs: int64 ``[batch, time]``.
        targets: int64 ``[batch, time]``, the next tokens; ``IGNORED`` where there is none.
        fresh: whether the sequences begin here, or go on from the batch before.
    """

    inputs: Tensor
    targets: Tensor
    fresh: bool


def read_text(path: Path) -> str:
    """A UTF-8 text file, gzipped or not, line ends as they are.

    Raises:
        DataError: it cannot be read, is not UTF-8, or is empty.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read the text file {path.name!r}: {why}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name!r} is not UTF-8 text: byte {error.start} is invalid") from error
    if not text.strip():
        raise DataError(f"{path.name!r} holds no text")
    return text


def stripped_lines(text: str) -> str:
    """The same lines without the spaces around them, each ended."""
    return "".join(f"{line.strip()}\n" for line in text.splitlines())


def split_stream(text: str) -> TextSplit:
    """Cut a text in order: its last tenth is the test part, the last twentieth of the rest validates.

    Raises:
        DataError: a part would be empty.
    """
    end = int(len(text) * (1 - _PART))
    begin = int(end * (1 - _PART / 2))
    parts = TextSplit([text[:begin]], [text[begin:end]], [text[end:]])
    if not (text[:begin] and text[begin:end] and text[end:]):
        raise DataError(f"a text of {len(text)} characters is too short to split into three parts")
    return parts


def split_lines(text: str, seed: int) -> TextSplit:
    """Deal the non-empty lines of a text at random: a tenth tests, a tenth validates, the others train.

    Raises:
        DataError: a part would be empty.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    order = np.random.default_rng(seed).permutation(len(lines))
    part = int(len(lines) * _PART)
    if not part:
        raise DataError(f"{len(lines)} lines are too few to split into train, validation and test")
    shuffled = [lines[index] for index in order]
    return TextSplit(shuffled[2 * part :], shuffled[part : 2 * part], shuffled[:part])


def stream_batches(ids: NDArray[np.int64], batch: int, length: int, offset: int = 0) -> Iterator[TokenBatch]:
    """Cut one long sequence into ``batch`` parts side by side and walk through them in step.

    Args:
        ids: int64 ``[tokens]``.
        batch: parts.
        length: steps of a batch (truncated back-propagation through time).
        offset: tokens left out at the beginning, so that epochs cut differently.
    """
    usable = (len(ids) - offset - 1) // batch
    if usable < 1:
        raise DataError(f"{len(ids)} tokens are too few for {batch} parallel parts; use a smaller batch size")
    index = offset + np.arange(batch)[:, None] * usable
    for begin in range(0, usable, length):
        steps = index + np.arange(begin, min(begin + length, usable))
        yield TokenBatch(torch.from_numpy(ids[steps]), torch.from_numpy(ids[steps + 1]), begin == 0)


def num_stream_batches(num_tokens: int, batch: int, length: int) -> int:
    """How many batches :func:`stream_batches` yields without an offset."""
    return -(-((num_tokens - 1) // batch) // length)


def line_batches(
    lines: Sequence[Sequence[int] | NDArray[np.int64]],
    batch: int,
    boundary: int,
    order: Sequence[int] | NDArray[np.int64],
) -> Iterator[TokenBatch]:
    """Batches of whole lines, each begun and ended by the boundary token.

    Args:
        lines: token ids of each line.
        batch: lines of a batch.
        boundary: the token fed first and predicted last.
        order: indices of the lines, in the order to take them.
    """
    for begin in range(0, len(order), batch):
        chosen = [lines[index] for index in order[begin : begin + batch]]
        width = max(len(line) for line in chosen) + 1
        inputs = np.full((len(chosen), width), boundary, np.int64)
        targets = np.full((len(chosen), width), IGNORED, np.int64)
        for row, line in enumerate(chosen):
            inputs[row, 1 : len(line) + 1] = line
            targets[row, : len(line)] = line
            targets[row, len(line)] = boundary
        yield TokenBatch(torch.from_numpy(inputs), torch.from_numpy(targets), True)
