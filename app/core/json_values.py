"""How much a JSON text holds, known before it is parsed: a parser lets nothing else run until it is done."""

from __future__ import annotations

import numpy as np

WEIGHTS = {b",": 1, b"[": 4, b"{": 4, b":": 8}
"""Of a value, a list, an object and a key of one, by the time and the memory that each takes to be parsed:
two million take 0.15 s and 150 MB.
"""


def num_values(text: bytes, most: int) -> int:
    """The weighted sum of what a text in UTF-8 holds; where it is surely at most ``most``, a bound of it.

    What stands in strings does not count, and is told apart only where it matters.
    """
    total = sum(weight * text.count(sign) for sign, weight in WEIGHTS.items())
    if total <= most:
        return total
    if b"\\" in text:
        text = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    signs = np.frombuffer(text, np.uint8)
    within = np.logical_xor.accumulate(signs == ord('"'))
    return sum(
        weight * int(np.count_nonzero((signs == ord(sign)) & ~within)) for sign, weight in WEIGHTS.items()
    )
