"""The bytes of a state: what records and portable states share.

header length | header JSON | row | last output
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")


def pack(header: dict[str, Any], row: NDArray[np.float32], last: NDArray[np.float32] | None) -> bytes:
    """The bytes; fills in the header's ``row`` and ``last``, which say how many numbers there are."""
    header["row"] = row.size
    header["last"] = None if last is None else list(last.shape)
    head = orjson.dumps(header)
    return b"".join((_LENGTH.pack(len(head)), head, row.tobytes(), b"" if last is None else last.tobytes()))


def unpack(
    data: bytes, start: int = 0
) -> tuple[dict[str, Any], NDArray[np.float32], NDArray[np.float32] | None, int]:
    """Header, row, last output, and where the bytes end that :func:`pack` made."""
    (length,) = _LENGTH.unpack_from(data, start)
    start += _LENGTH.size
    header = orjson.loads(data[start : start + length])
    start += length
    row = np.frombuffer(data, np.float32, header["row"], start)
    start += row.nbytes
    last = None
    if header["last"] is not None:
        last = np.frombuffer(data, np.float32, math.prod(header["last"]), start).reshape(header["last"])
        start += last.nbytes
    return header, row, last, start
