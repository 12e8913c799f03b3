"""What a caller sends becomes steps, or an error that names row and column."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.tasks.sequence.bodies import ArrayQuery, parse_npy, read_npy
from app.tasks.sequence.model import SequenceModel
from app.tasks.sequence.schema import SequenceLimits, SequenceRequest
from app.tasks.sequence.spec import Column, NamedOutput, SequenceSpec
from app.tasks.sequence.steps import Steps


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rows"),
        ({"rows": [], "text": "a"}, "rows"),
        ({"rows": []}, "rows"),
        ({"rows": {"vibration": 1}}, "rows"),
        ({"rows": "0.1,20"}, "rows"),
        ({"rows": [[0.1, 20], 3]}, "rows.1"),
        ({"rows": [[0.1, 20], [1, 2, 3]]}, "rows.1"),
        ({"rows": [[0.1, 20], [None, 3]]}, "rows.1.vibration"),
        ({"rows": [[0.1, 20], [True, 3]]}, "rows.1.vibration"),
        ({"rows": [[0.1, "20"]]}, "rows.0.temperature"),
        ({"rows": [[0.1, 10**400]]}, "rows.0.temperature"),
        ({"rows": [[0.1, 1e31]]}, "rows.0.temperature"),
        ({"rows": [{"temperature": 1}]}, "rows.0.vibration"),
        ({"rows": [{"vibration": 1, "heat": 2}]}, "rows.0.heat"),
        ({"text": "ab"}, "text"),
        ({"sequences": [{"rows": [[1, 2]]}, {"rows": [[1]]}]}, "sequences.1.rows.0"),
        ({"sequences": [{"id": "a"}]}, "sequences.0"),
        ({"sequences": [{"rows": [[1, 2]]}] * 4}, "sequences"),
        ({"rows": [[1, 2]] * 21}, "rows"),
    ],
)
def test_a_wrong_row_is_named(model: SequenceModel, body: dict[str, Any], field: str) -> None:
    """By row and column, however it is wrong."""
    with pytest.raises(InvalidInput) as caught:
        model.prepare(SequenceRequest.model_validate_json(json.dumps(body)))
    assert caught.value.field == field


NUMBER = st.one_of(st.none(), st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6, width=32))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=8))
def test_lists_objects_and_arrays_are_the_same_steps(rows: list[tuple[Any, ...]]) -> None:
    """Whatever is missing; float32 as NumPy rounds it."""
    spec = SequenceSpec(
        columns=tuple(Column(name=name, missing=True) for name in "abc"), outputs=(NamedOutput(name="y"),)
    )
    steps = Steps(spec, None, SequenceLimits())
    listed = steps.of_rows([list(row) for row in rows], "rows")
    expected = np.array(rows, np.float64).astype(np.float32)
    np.testing.assert_array_equal(listed, expected)
    named = [dict(zip("cab", (row[2], row[0], row[1]), strict=True)) for row in rows]
    np.testing.assert_array_equal(steps.of_rows(named, "rows"), expected)
    np.testing.assert_array_equal(steps.of_rows(np.array(rows, np.float64), "rows"), expected)
    np.testing.assert_array_equal(steps.of_inputs(list(rows[0])), expected[:1])
    with pytest.raises(InvalidInput, match="the row has 2 values, but the model reads 3"):
        steps.of_inputs(list(rows[0][:2]))
    with pytest.raises(InvalidInput, match="this is no row: the model reads numbers of the columns a, b, c"):
        steps.of_inputs([list(rows[0]), 1])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 200))
def test_a_hostile_array_is_refused(noise: bytes, cut: int) -> None:
    """Cut anywhere, or with other bytes in it: no other error, and no array larger than the body."""
    saved = io.BytesIO()
    np.save(saved, np.arange(6, dtype=np.float32).reshape(2, 3))
    data = saved.getvalue()
    data = data[:cut] + noise + data[cut + len(noise) :]
    with contextlib.suppress(InvalidInput):
        assert parse_npy(data).nbytes <= len(data)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }",
            "bytes of data follow",
        ),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "not numbers"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "not numbers"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1), }", "1 to 3 axes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "axes"),
        ("__import__('os').abort()", "cannot be read"),
        ("(" * 9000, "cannot be read"),
    ],
)
def test_an_array_that_lies_is_refused(header: str, said: str) -> None:
    """Before anything of the size that it claims is made, and without running it."""
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(4)
    with pytest.raises(InvalidInput, match=said):
        read_npy(data, ArrayQuery(), SequenceLimits())
