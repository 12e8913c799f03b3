"""Texts in parts and batches: nothing leaks, nothing is lost, targets are the next tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import DataError
from training.generate.corpus import (
    IGNORED,
    line_batches,
    num_stream_batches,
    read_text,
    split_lines,
    split_stream,
    stream_batches,
)


def test_a_stream_is_cut_in_order() -> None:
    """The last tenth tests, the last twentieth of the rest validates, and nothing is lost."""
    text = "".join(chr(97 + index % 26) for index in range(1000))
    parts = split_stream(text)
    assert [len(part[0]) for part in (parts.train, parts.validation, parts.test)] == [855, 45, 100]
    assert parts.train[0] + parts.validation[0] + parts.test[0] == text


def test_lines_are_dealt_by_seed_without_overlap() -> None:
    """The same seed gives the same parts, another seed others, and every line is in one part."""
    text = "\n".join(f"line{index}" for index in range(50)) + "\n\n"
    parts = split_lines(text, seed=1)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [40, 5, 5]
    assert sorted(parts.train + parts.validation + parts.test) == sorted(text.split())
    assert split_lines(text, seed=1) == parts
    assert split_lines(text, seed=2) != parts


@pytest.mark.parametrize("split", [split_stream, lambda text: split_lines(text, 0)])
def test_too_little_text_is_an_error(split: Callable[[str], object]) -> None:
    """No part may be empty."""
    with pytest.raises(DataError, match=r"too (short|few) to split"):
        split("ab")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"ab\xffc", "byte 2 is invalid"), (b" \n ", "holds no text"), (None, "cannot read")],
)
def test_files_that_are_not_text_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    """The message says what is wrong with the file."""
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_text(path)


def test_line_ends_are_kept_as_they_are(tmp_path: Path) -> None:
    """A model learns the text it was given, carriage returns included."""
    (tmp_path / "text.txt").write_bytes("a\r\nb\u00e9\n".encode())
    assert read_text(tmp_path / "text.txt") == "a\r\nb\u00e9\n"


@given(st.integers(20, 120), st.integers(1, 5), st.integers(1, 9), st.integers(0, 5))
def test_a_stream_is_walked_through_in_step(tokens: int, batch: int, length: int, offset: int) -> None:
    """Joined batches are the parts of the text, and each target is the token after its input."""
    ids = np.arange(tokens)
    batches = list(stream_batches(ids, batch, length, offset))
    inputs = np.concatenate([item.inputs.numpy() for item in batches], axis=1)
    targets = np.concatenate([item.targets.numpy() for item in batches], axis=1)
    usable = (tokens - offset - 1) // batch
    np.testing.assert_array_equal(inputs, offset + np.arange(batch * usable).reshape(batch, usable))
    np.testing.assert_array_equal(targets, inputs + 1)
    assert [item.fresh for item in batches] == [True] + [False] * (len(batches) - 1)
    if offset == 0:
        assert num_stream_batches(tokens, batch, length) == len(batches)


def test_too_many_parallel_parts_are_refused() -> None:
    """The message says what to change."""
    with pytest.raises(DataError, match="smaller batch size"):
        list(stream_batches(np.arange(5), 8, 4))


def test_lines_begin_and_end_with_the_boundary() -> None:
    """A line of n tokens has n + 1 targets, the last of them the boundary; padding has none."""
    (batch,) = line_batches([[5, 6], [7]], 2, boundary=9, order=[0, 1])
    assert batch.inputs.tolist() == [[9, 5, 6], [9, 7, 9]]
    assert batch.targets.tolist() == [[5, 6, 9], [7, 9, IGNORED]]
    assert batch.fresh


def test_every_line_is_in_one_batch() -> None:
    """The last batch may be smaller."""
    lines = [[index] for index in range(1, 8)]
    batches = list(line_batches(lines, 3, boundary=0, order=[6, 5, 4, 3, 2, 1, 0]))
    assert [item.inputs.shape[0] for item in batches] == [3, 3, 1]
    assert [row[0] for item in batches for row in item.targets.tolist()] == [7, 6, 5, 4, 3, 2, 1]
