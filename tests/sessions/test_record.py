"""The bytes of a record: what was written is read, and what was damaged is found out."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import CorruptSession
from app.sessions.record import LastCall, SessionRecord, decode_record, encode_record

JSON = st.dictionaries(
    st.text(max_size=8), st.lists(st.floats(-1e3, 1e3), max_size=20) | st.text(), max_size=4
)
SIZES = st.integers(0, 1200)
ANSWERS = st.none() | st.binary(max_size=2000)


def record(
    size: int, last: tuple[int, ...] | None, answer: bytes | None, context: dict[str, Any]
) -> SessionRecord:
    """A session at step 3; the numbers are random."""
    random = np.random.default_rng(size)
    return SessionRecord(
        "a",
        "m@1",
        "0" * 64,
        10,
        3,
        1.5,
        2.5,
        60.0,
        random.standard_normal(size, np.float32),
        None if last is None else random.standard_normal(last, np.float32),
        context,
        call=None if answer is None else LastCall(3, "digest", answer),
    )


def same(one: SessionRecord, other: SessionRecord) -> bool:
    """In every field, and every bit of the arrays."""
    for name in SessionRecord.__slots__:
        first, second = getattr(one, name), getattr(other, name)
        if isinstance(first, np.ndarray):
            if first.shape != second.shape or first.tobytes() != second.tobytes():
                return False
        elif first != second:
            return False
    return True


@given(SIZES, st.none() | st.tuples(st.integers(1, 3), st.integers(1, 5)), ANSWERS, JSON)
def test_what_is_written_is_read(
    size: int, last: tuple[int, ...] | None, answer: bytes | None, context: dict[str, Any]
) -> None:
    """In one of two ways, always the same one."""
    written = record(size, last, answer, context)
    data = encode_record(written)
    assert same(decode_record("a", data), written)
    assert data == encode_record(written)


@pytest.mark.parametrize(("size", "magic"), [(100, b"RSR2"), (900, b"RSR3"), (1200, b"RSR2")])
def test_what_was_damaged_is_found_out(size: int, magic: bytes) -> None:
    """Wherever it was, cut short, or filed under another id."""
    data = encode_record(record(size, (2,), b"{}", {"x": [1.5] * 90}))
    assert data.startswith(magic)
    for at in range(0, len(data), 7):
        with pytest.raises(CorruptSession):
            decode_record("a", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    for wrong in (b"", data[:3], data[:-1], b"RSR9" + data[4:]):
        with pytest.raises(CorruptSession):
            decode_record("a", wrong)
    with pytest.raises(CorruptSession):
        decode_record("b", data)


def test_a_process_that_is_forked_is_another_writer() -> None:
    """So no two processes take each other's writes for their own."""
    program = """
import os
from app.sessions import record
print(record._WRITER, flush=True)
if not os.fork():
    print(record._WRITER, flush=True)
    os._exit(0)
os.wait()
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = told.stdout.split()
    assert first != second
    assert len(first) == len(second) == 16


def test_a_record_takes_as_few_pages_as_it_can() -> None:
    """Of 4,096 bytes, of which a store needs some itself."""
    answer = (
        b'{"seq":3,"step":3,"outputs":[' + b'{"token":" way","id":271,"logprob":-0.232305},' * 8 + b"{}]}"
    )
    for size, small in ((896, True), (1000, True), (1020, False)):
        data = encode_record(record(size, None, answer, {"sentence": [271, 14] * 10, "source": "en"}))
        assert data.startswith(b"RSR3" if small else b"RSR2")
        assert (len(data) < 4 * size) == small
    long = encode_record(record(896, None, answer * 14, {"sentence": [271, 14] * 10, "source": "en"}))
    assert long.startswith(b"RSR3")
    assert len(long) < 8192 < 4 * 896 + 14 * len(answer)
