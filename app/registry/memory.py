"""Freed memory of models goes back to the system, though glibc would rather keep it. Linux alone."""

from __future__ import annotations

import contextlib
import ctypes

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Parameters of ``mallopt``, as in ``malloc.h``."""
_LARGE = 4 * 1024 * 1024


def map_large_blocks() -> None:
    """Let each large block have a mapping of its own, which goes when it is freed.

    Else the size from which blocks are mapped grows with each that is freed, up to 32 MiB: the weights of a
    model then lie in the arena of the thread that loaded it, whose upper end is never trimmed.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, _LARGE)


def trim() -> None:
    """Hand back the free pages between what is in use; takes milliseconds."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
