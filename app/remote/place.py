"""A tree of bundles on the network, read through fsspec: ``s3://``, ``https://``, ``http://``, ``hf://``.

Credentials are those of each library's own variables: ``AWS_*``, ``HF_TOKEN``, a netrc file.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from app.core.errors import ConfigurationError, FetchFailed
from app.registry.origin import CHUNK_BYTES, Budget, Origin

_ATTEMPTS = 4
_PAUSE_S = 0.25
# No single answer may be waited for longer; the budget bounds the whole.
_CONNECT_S = 10
_READ_S = 30

# They log each request, or where credentials were found.
_TALKATIVE = ("httpx", "httpx2", "botocore", "aiobotocore")


class Missing(FetchFailed):
    """There is nothing at an address."""


class Place:
    """One address; raises ConfigurationError when the library for its scheme is missing, or refuses it.

    Its methods raise Missing when there is nothing, FetchFailed when it does not answer or not in time.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        scheme = address.partition("://")[0]
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            import fsspec

            self._fs, self._root = fsspec.core.url_to_fs(
                self.address, skip_instance_cache=True, **_options(scheme)
            )
        except ImportError as error:
            raise ConfigurationError(
                f"{address}: reading {scheme}:// needs more packages: pip install '.[remote]' in a checkout"
            ) from error
        except Exception as error:
            raise ConfigurationError(f"{address}: {error}") from error
        # A file read as a stream costs one request; the others of their kind ask for pieces.
        self._streaming: dict[str, Any] = {} if scheme == "s3" else {"block_size": 0}

    def names(self, *parts: str, budget: Budget) -> list[str]:
        """The last parts of what lies below, in order; whoever reads them checks their form."""
        attempt = 0
        while True:
            budget.check()
            try:
                self._fs.invalidate_cache()
                listed = self._fs.ls(self._path(parts), detail=False)
                return sorted({str(path).rstrip("/").rpartition("/")[2] for path in listed})
            except Exception as error:
                attempt += 1
                self._give_up_or_wait(error, parts, attempt, budget)

    def small(self, *parts: str, max_bytes: int, budget: Budget) -> bytes:
        """A file as a whole; raises FetchFailed when it is larger than ``max_bytes``."""
        data = b""
        for piece in self.pieces(*parts, budget=budget):
            data += piece
            if len(data) > max_bytes:
                raise FetchFailed(f"{self._shown(parts)} is larger than {max_bytes} bytes")
        return data

    def pieces(self, *parts: str, budget: Budget) -> Iterator[bytes]:
        """A file in pieces; after a break it is opened again and read on from there."""
        position = attempt = 0
        while True:
            budget.check()
            try:
                with self._fs.open(self._path(parts), "rb", **self._streaming) as file:
                    for piece in _from(file, position):
                        position += len(piece)
                        attempt = 0
                        yield piece
                return
            except (GeneratorExit, FetchFailed):
                raise
            except Exception as error:
                attempt += 1
                self._give_up_or_wait(error, parts, attempt, budget)

    def origin(self, budget: Budget, *parts: str) -> Origin:
        """Of the bundle in the folder below."""
        return lambda name: self.pieces(*parts, name, budget=budget)

    def _give_up_or_wait(
        self, error: Exception, parts: tuple[str, ...], attempt: int, budget: Budget
    ) -> None:
        """Raise unless the same may work the next time."""
        status = _status(error)
        if status in (404, 410) or (status is None and _nothing_there(error)):
            raise Missing(f"there is no {self._shown(parts)}") from error
        if status in (401, 403) or isinstance(error, PermissionError):
            raise FetchFailed(f"{self._shown(parts)}: access is denied") from error
        if isinstance(error, ImportError):
            raise ConfigurationError(f"{self._shown(parts)}: {error}") from error
        if attempt >= _ATTEMPTS:
            raise FetchFailed(f"{self._shown(parts)}: {type(error).__name__}: {error}") from error
        budget.wait(_PAUSE_S * 2**attempt)

    def _path(self, parts: tuple[str, ...]) -> str:
        return "/".join((str(self._root).rstrip("/"), *parts))

    def _shown(self, parts: tuple[str, ...]) -> str:
        return "/".join((self.address, *parts))


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error of any of the libraries, where there is one."""
    cause: BaseException | None = error
    while cause is not None:
        answer = getattr(cause, "response", None)
        if isinstance(answer, dict):
            found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            found = getattr(answer, "status_code", None) or getattr(cause, "status", None)
        if isinstance(found, int) and found:
            return found
        cause = cause.__cause__ or cause.__context__
    return None


def _nothing_there(error: BaseException) -> bool:
    """Whether a place said so. A connection that failed is reported likewise, with its cause."""
    causes = (error.__cause__, error.__context__)
    return isinstance(error, FileNotFoundError | NotADirectoryError) and all(
        one is None or isinstance(one, FileNotFoundError | KeyError) for one in causes
    )


def _options(scheme: str) -> dict[str, Any]:
    if scheme == "s3":
        retries = {"max_attempts": 3, "mode": "standard"}
        config = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S, "retries": retries}
        return {"config_kwargs": config, "use_listings_cache": False}
    if scheme in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)
        return {"client_kwargs": {"timeout": timeout, "trust_env": True}}
    return {}


def _from(file: Any, place: int) -> Iterator[bytes]:
    """What follows ``place``. A stream cannot be searched, so what lies before is read and dropped."""
    if place:
        with contextlib.suppress(OSError, ValueError, NotImplementedError):
            file.seek(place)
            place = 0
    while piece := file.read(CHUNK_BYTES):
        if place >= len(piece):
            place -= len(piece)
            continue
        yield piece[place:]
        place = 0
