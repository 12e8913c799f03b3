"""Which rows of a run may be answered: those that are finite in every array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.runtime.runner import finite_rows

LARGEST = float(np.finfo(np.float32).max)
SHAPES = ((4, 3), (4, 2, 5), (4,), (4, 0, 2))


def ones(*shape: int) -> np.ndarray:
    """An array of a run."""
    return np.ones(shape, np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_are_finite(shape: tuple[int, ...]) -> None:
    """Which needs no list of them."""
    assert finite_rows([ones(*shape)]) is None
    assert finite_rows([ones(*shape), -ones(4, 7)]) is None
    assert finite_rows([]) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_that_overflows_accuses_nobody(sign: int) -> None:
    """The largest numbers of all are numbers, alone and beside a row that is none."""
    large = np.full((3, 8), sign * LARGEST, np.float32)
    assert finite_rows([large]) is None
    assert finite_rows([ones(3, 2), large]) is None
    large[1, 5] = np.nan
    found = finite_rows([ones(3, 2), large])
    assert found is not None
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf], [np.nan, np.inf]])
def test_a_row_that_is_not_finite_is_found(bad: list[float]) -> None:
    """Whatever it holds, and though what it holds may cancel out."""
    array = ones(4, 2, 5)
    array[2, 1, : len(bad)] = bad
    found = finite_rows([array])
    assert found is not None
    assert found.tolist() == [True, True, False, True]


def test_every_array_counts() -> None:
    """Rows that fail in different ones, the last among them."""
    first, second, third = ones(4, 3), ones(4, 2, 2), ones(4)
    second[0, 1, 1] = np.inf
    third[3] = np.nan
    found = finite_rows([first, second, third])
    assert found is not None
    assert found.tolist() == [False, True, True, False]


@given(
    st.lists(
        arrays(
            np.float32,
            st.sampled_from([(3, 2), (3, 1, 4), (3,)]),
            elements=st.sampled_from([0.0, 1.5, -LARGEST, LARGEST, np.inf, -np.inf, np.nan]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_it_is_what_a_look_at_each_number_says(run: list[np.ndarray]) -> None:
    """For any arrays."""
    expected = [all(np.isfinite(array[row]).all() for array in run) for row in range(3)]
    found = finite_rows(run)
    assert (found is None) == all(expected)
    assert found is None or found.tolist() == expected
