"""When the garbage collector looks, and how freed memory goes back to the system (on Linux alone)."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Parameters of ``mallopt``, as in ``malloc.h``."""
_LARGE = 4 * 1024 * 1024
_SOON_S = 0.5
_FEW_BLOCKS = 500_000
_LOOKS = 10


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


class Trimmer:
    """Trims once for all that was freed in half a second, beside the event loop."""

    def __init__(self) -> None:
        self._due = 0.0

    def soon(self) -> None:
        """Something large is being freed on this loop."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._due:
            self._due = loop.time() + _SOON_S
            loop.call_later(_SOON_S, loop.run_in_executor, None, trim)


trimmer = Trimmer()


class Collector:
    """Has the garbage collector leave alone what lives as long as the process, and see all else in quiet.

    Walking through all modules and models again took, measured, a third of the event loop's time when
    thousands of sessions advance, and through the million objects of a large answer four fifths of a second.
    What requests allocate is freed by its reference counts.
    """

    EVERY_S = 60

    def settle(self) -> None:
        """Call once the models are loaded."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 5, 2**30)  # fifty thousand young objects take twenty milliseconds
        self._most_blocks = sys.getallocatedblocks() + _FEW_BLOCKS
        self._looks = 0

    async def look(self) -> None:
        """Call every minute; collects if little is alive, and every tenth time in any case."""
        self._looks += 1
        if self._looks % _LOOKS == 0 or sys.getallocatedblocks() < self._most_blocks:
            gc.collect()


collector = Collector()
