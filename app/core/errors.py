"""Every error this project raises on purpose, and whose fault it is.

    RnnserveError
    ├── CallerError                  the request is wrong; sending it again will not help
    │   ├── Unauthenticated          no key, or none that is valid here
    │   ├── Forbidden                the key is valid, but not for this
    │   ├── InvalidInput             a field is wrong: which, why, what is allowed
    │   ├── UnknownModel             no bundle of that name, version or task
    │   ├── LoadFailed               a bundle that was asked to be served cannot be
    │   ├── UnknownSession           no session of that id
    │   ├── SessionGone              it existed: expired or closed, when, why, after which step
    │   ├── SequenceConflict         another step number is due; says what the session holds
    │   ├── ModelMismatch            the session's, or the state's, model version is not this one
    │   ├── InvalidState             a portable state is forged, truncated or of another server
    │   ├── PayloadTooLarge          the body, or a WebSocket frame, is over the limit
    │   └── UnsupportedMedia         a content type no route reads
    ├── CapacityError                the request is fine; sending it again later may help
    │   ├── Overloaded               the queue is full
    │   ├── Draining                 the server is shutting down
    │   ├── StoreFull                no room for another session
    │   ├── SessionLimit             the caller has as many sessions as it may
    │   ├── RateLimited              the caller's requests or steps come too fast
    │   ├── StoreUnavailable         the session store cannot be reached
    │   └── DeadlineExceeded         the request's time ran out
    ├── ServerError                  the fault is on this side
    │   ├── RunFailed                ONNX Runtime refused this batch
    │   │   └── NotFinite            a row or an output of this sequence is not finite
    │   ├── StateQuarantined         a step made a session's state not finite; the last good one stays
    │   ├── CorruptSession           a stored session does not have its checksum
    │   ├── EngineDead               the engine ended; the process should be replaced
    │   └── DeviceUnavailable        the execution provider asked for is not installed
    ├── BundleError                  a bundle on disk is not what its manifest says
    │   ├── InvalidManifest
    │   ├── DigestMismatch
    │   ├── ParityError              the graph's answer differs from the recorded one
    │   └── FetchFailed              it could not be copied from elsewhere
    ├── ConfigurationError           a setting is wrong
    └── TrainingError                a training run cannot go on
        ├── DataError                a data file is missing, malformed, or not the one expected
        └── ExportError              the exported graph differs from the trained network

Status and close codes live in ``app.edge.errors`` alone.
"""

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


class LoadFailed(CallerError):
    """A model was asked to be loaded, and none of its bundles can be served."""


class UnknownSession(CallerError):
    """No session of that id is held here."""

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no session {id!r}")
        self.id = id


class SessionGone(CallerError):
    """The session existed and has ended.

    Args:
        id: of the session.
        reason: ``expired`` or ``closed``.
        ended_at: ISO 8601 time.
        step: its last applied step.
    """

    def __init__(self, id: str, reason: str, ended_at: str, step: int) -> None:
        super().__init__(f"session {id!r} {reason} at {ended_at}, after step {step}")
        self.id = id
        self.reason = reason
        self.ended_at = ended_at
        self.step = step


class SequenceConflict(CallerError):
    """The call is not the next one of its session.

    Args:
        message: what clashed.
        step: the session's last applied step; ``expected`` is the ``seq`` that would be applied next.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step
        self.expected = step + 1


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
        self.id = id


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
