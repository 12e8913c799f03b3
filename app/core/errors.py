"""Every error this project raises on purpose, and whose fault it is; ``app.edge.errors`` gives the status."""

from __future__ import annotations


class RnnserveError(Exception):
    """Base of the tree. ``message`` is written for the person who caused it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(RnnserveError):
    """The request is wrong; the same request will fail again."""


class Unauthenticated(CallerError):
    """The request has no API key, or none that is valid here."""


class Forbidden(CallerError):
    """The key is valid, but its role does not allow this."""


class InvalidInput(CallerError):
    """One field of a request is wrong; the message says how, and what is allowed.

    Args:
        field: its path, dotted, as the caller wrote it (``series.3.values``).
        allowed: the limit or the choices, machine-readable, when there is one.
    """

    def __init__(self, field: str, message: str, *, allowed: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.allowed = allowed


def over_limit(field: str, limit: float, message: str) -> InvalidInput:
    return InvalidInput(field, message, allowed={"max": limit})


class UnknownModel(CallerError):
    """No served bundle answers to this name, version or task."""

    def __init__(self, wanted: str, available: tuple[str, ...]) -> None:
        listing = ", ".join(available) or "none"
        super().__init__(f"no model {wanted!r} is served here; available: {listing}")
        self.available = available


class LoadFailed(CallerError):
    """A model was asked to be loaded, and none of its bundles can be served."""


class UnknownSession(CallerError):
    """No session of that id is held here."""

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no session {id!r}")


class SessionGone(CallerError):
    """The session has ended: ``expired`` or ``closed``, at an ISO 8601 time, after its step ``step``."""

    def __init__(self, id: str, reason: str, ended_at: str, step: int) -> None:
        super().__init__(f"session {id!r} {reason} at {ended_at}, after step {step}")
        self.reason = reason
        self.ended_at = ended_at
        self.step = step


class SequenceConflict(CallerError):
    """The call is not the next one of its session; ``expected`` is the ``seq`` that would be."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step
        self.expected = step + 1


class SessionExists(SequenceConflict):
    """A session of that id is held already, after its step ``step``."""


class ModelMismatch(CallerError):
    """A session or a state belongs to a model version that does not answer here."""


class InvalidState(CallerError):
    """A portable state was not made by this server's key, or is damaged."""


class PayloadTooLarge(CallerError):
    """A body or a frame is larger than the limit, in bytes."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than the limit of {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class UnsupportedMedia(CallerError):
    """The content type is not one the route reads, or ``extra`` of the package is needed for what was got."""

    def __init__(self, got: str, allowed: tuple[str, ...], extra: str = "") -> None:
        what = f"content type {got!r} is not read here"
        if extra:
            what = f"{got} is not read without the extra {extra} (pip install '.[{extra}]' in a checkout)"
        super().__init__(f"{what}; allowed: {', '.join(allowed)}" if allowed else what)
        self.allowed = allowed


class CapacityError(RnnserveError):
    """The request is fine, but not now."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(CapacityError):
    """The model's queue, measured in steps, or the number of sequences is full."""


class ModelNotLoaded(CapacityError):
    """A model that is loaded on demand could not be loaded; that is tried again later."""


class Draining(CapacityError):
    """The server is shutting down and takes no new work."""


class StoreFull(CapacityError):
    """The session store holds as many live sessions as it may."""


class SessionLimit(CapacityError):
    """The caller has as many sessions as it may."""


class RateLimited(CapacityError):
    """The caller's requests, or steps, come faster than it may send them."""


class StoreUnavailable(CapacityError):
    """The session store cannot be reached."""


class DeadlineExceeded(CapacityError):
    """The request did not finish in its time."""


class ServerError(RnnserveError):
    """The fault is on this side of the wire."""


class RunFailed(ServerError):
    """One run of the graph failed. Recoverable: only the rows of that run are lost."""


class NotFinite(RunFailed):
    """This sequence's row or output is not finite; its neighbours' are."""


class StateQuarantined(ServerError):
    """A step made a session's state not finite. The stored state stays the last good one."""


class CorruptSession(ServerError):
    """A stored session does not have its recorded checksum; it is never restarted from zero."""

    def __init__(self, id: str) -> None:
        super().__init__(f"the stored session {id!r} is damaged; create it anew")


class StoreDamaged(ServerError):
    """What the session store keeps cannot be read; waiting cures nothing."""


class EngineDead(ServerError):
    """The engine has ended. Unrecoverable: the process should be replaced."""


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


class FetchFailed(BundleError):
    """A bundle, or a list of bundles, could not be copied from elsewhere."""


class ConfigurationError(RnnserveError):
    """A setting is wrong; the message names it and says what is allowed."""


class TrainingError(RnnserveError):
    """A training run cannot go on."""


class DataError(TrainingError):
    """A data file is missing, malformed, or not the one the recipe was written for."""


class ExportError(TrainingError):
    """The exported graph is not the trained network, so no bundle was written."""
