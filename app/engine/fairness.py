"""That a busy event loop leaves the interpreter to the engines often enough.

An engine releases the interpreter's lock while its graph runs and needs it back after every run. A
thread that waits for the lock asks for it only after the switch interval, five milliseconds unless told
otherwise, and the interval begins anew whenever the loop lets go of the lock for a moment, as it does at
each system call. So a loop that is busy in pieces shorter than that can keep an engine waiting for ever:
measured, a handful of steps a second where hundreds are due.
"""

from __future__ import annotations

import ctypes
import logging
import sys

logger = logging.getLogger(__name__)

# Measured with 64 streams and with 64 connections: 0.5 ms lets engines wait, 0.02 ms interrupts too often.
SWITCH_INTERVAL_S = 1e-4
# Linux ends a timed wait late by as much as this, fifty microseconds unless told otherwise.
TIMER_SLACK_NS = 1000
_PR_SET_TIMERSLACK = 29


def share_interpreter() -> None:
    """Set both for this process. Call it before threads are started: they inherit the timer slack."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if sys.platform == "linux":
        try:
            refused = ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0)
        except (OSError, AttributeError):
            refused = -1
        if refused:
            logger.debug("the timer slack cannot be set here; steps beside a busy loop come less often")
