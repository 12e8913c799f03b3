"""Every error this project raises on purpose, and whose fault it is.

    RnnserveError
    ├── CallerError                  the request is wrong; sending it again will not help
    │   ├── InvalidInput             a field is wrong: which, why, what is allowed
    │   ├── UnknownModel             no bundle of that name, version or task
    │   ├── PayloadTooLarge          the body, or a WebSocket frame, is over the limit
    │   └── UnsupportedMedia         a content type no route reads
    ├── CapacityError                the request is fine; sending it again later may help
    │   ├── Overloaded               the queue is full
    │   ├── Draining                 the server is shutting down
    │   └── DeadlineExceeded         the request's time ran out
    ├── ServerError                  the fault is on this side
    │   ├── RunFailed                ONNX Runtime refused this batch, or its output is not finite
    │   ├── EngineDead               the engine's thread ended; the process should be replaced
    │   └── DeviceUnavailable        the execution provider asked for is not installed
    ├── BundleError                  a bundle on disk is not what its manifest says
    │   ├── InvalidManifest
    │   ├── DigestMismatch
    │   └── ParityError              the graph's answer differs from the recorded one
    ├── ConfigurationError           a setting is wrong
    └── TrainingError                a training run cannot go on
        ├── DataError                a data file is missing, malformed, or not the one expected
        └── ExportError              the exported graph differs from the trained network

Status and close codes live in ``app.api.errors`` alone.
"""

from __future__ import annotations


class RnnserveError(Exception):
    """Base of the tree. ``message`` is written for the person who caused it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(RnnserveError):
    """The request is wrong; the same request will fail again."""


class InvalidInput(CallerError):
    """One field of a request is wrong.

    Args:
        field: path of the field, dotted, as the caller wrote it (``series.3.values``).
        message: what was wrong and what is allowed, in one sentence.
        allowed: the limit or the choices, machine-readable, when there is one.
    """

    def __init__(self, field: str, message: str, *, allowed: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.allowed = allowed


class UnknownModel(CallerError):
    """No served bundle answers to this name, version or task."""

    def __init__(self, wanted: str, available: tuple[str, ...]) -> None:
        listing = ", ".join(available) or "none"
        super().__init__(f"no model {wanted!r} is served here; available: {listing}")
        self.wanted = wanted
        self.available = available


class PayloadTooLarge(CallerError):
    """A body or a frame is larger than the limit, in bytes."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than the limit of {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class UnsupportedMedia(CallerError):
    """The content type is not one the route reads."""

    def __init__(self, got: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"content type {got!r} is not read here; allowed: {', '.join(allowed)}")
        self.got = got
        self.allowed = allowed


class CapacityError(RnnserveError):
    """The request is fine, but not now."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(CapacityError):
    """The model's queue, measured in steps, or the number of sequences is full."""


class Draining(CapacityError):
    """The server is shutting down and takes no new work."""


class DeadlineExceeded(CapacityError):
    """The request did not finish in its time."""


class ServerError(RnnserveError):
    """The fault is on this side of the wire."""


class RunFailed(ServerError):
    """One run of the graph failed. Recoverable: only the rows of that run are lost."""


class EngineDead(ServerError):
    """The engine's thread has ended. Unrecoverable: the process should be replaced."""


class DeviceUnavailable(ServerError):
    """The execution provider that was asked for cannot be used here."""


class BundleError(RnnserveError):
    """A bundle on disk cannot be served."""


class InvalidManifest(BundleError):
    """The manifest is missing, malformed, or contradicts the graph."""


class DigestMismatch(BundleError):
    """A file of the bundle does not have the recorded sha256."""


class ParityError(BundleError):
    """The graph's output differs from the recorded golden output by more than the bound."""


class ConfigurationError(RnnserveError):
    """A setting is wrong; the message names it and says what is allowed."""


class TrainingError(RnnserveError):
    """A training run cannot go on."""


class DataError(TrainingError):
    """A data file is missing, malformed, or not the one the recipe was written for."""


class ExportError(TrainingError):
    """The exported graph is not the trained network, so no bundle was written."""
