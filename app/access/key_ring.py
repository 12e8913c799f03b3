"""The keys that are valid now, and finding whose one is. Read again when the file changes.

keys file --watch--> KeyRing --find(key)--> Credential --> Principal
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from pathlib import Path

from app.access.api_key import MAX_KEY_BYTES, digest_of
from app.access.key_file import KeyDefaults, KeyEntry, read_keys
from app.access.principal import Principal
from app.core.errors import ConfigurationError, Unauthenticated

logger = logging.getLogger(__name__)

_WATCH_S = 1.0
_INDEX_BYTES = 8


class Credential:
    """One valid key; ``revoked`` once it has left the file, which whoever keeps a connection looks at."""

    __slots__ = ("digest", "expires_at", "principal", "revoked")

    def __init__(self, digest: bytes, expires_at: float, principal: Principal) -> None:
        self.digest = digest
        self.expires_at = expires_at
        self.principal = principal
        self.revoked = False

    def __repr__(self) -> str:
        return f"Credential({self.principal.name!r})"

    @property
    def valid(self) -> bool:
        return not self.revoked and time.time() < self.expires_at


class KeyRing:
    """All keys of a file; raises ConfigurationError where it is missing or wrong."""

    def __init__(self, path: Path, defaults: KeyDefaults) -> None:
        self._path = path
        self._defaults = defaults
        self._principals: dict[str, Principal] = {}
        self._credentials: dict[bytes, list[Credential]] = {}
        self._seen = self._stamp()
        self._put(read_keys(path))

    def __len__(self) -> int:
        return len(self._principals)

    def find(self, key: bytes) -> Credential:
        """The digest's first bytes find the candidates, and the whole is compared in constant time.
        What the time of the first look tells is about a digest, from which no key follows.

        Raises:
            Unauthenticated: the key is none of this server's, or has expired.
        """
        if len(key) <= MAX_KEY_BYTES:
            digest = digest_of(key)
            for credential in self._credentials.get(digest[:_INDEX_BYTES], ()):
                if hmac.compare_digest(credential.digest, digest):
                    if time.time() >= credential.expires_at:
                        raise Unauthenticated("this API key has expired")
                    return credential
        raise Unauthenticated("this is no API key of this server")

    def max_sessions(self, name: str) -> int | None:
        principal = self._principals.get(name)
        return None if principal is None else principal.max_sessions

    def refresh(self) -> bool:
        """Read the file again if it has changed; a bad one is logged, and the keys stay as they were.

        Returns whether other keys hold now.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            entries = read_keys(self._path)
        except ConfigurationError as error:
            logger.error("%s; the keys stay as they were", error.message)
            return False
        self._put(entries)
        logger.info("the keys file was read again: %d names", len(self))
        return True

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                self.refresh()
            except Exception:
                logger.exception("the keys file could not be read again")

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _put(self, entries: dict[str, KeyEntry]) -> None:
        """Take the entries' keys; those that stay keep their credential and their allowance."""
        held = {known.digest: known for group in self._credentials.values() for known in group}
        principals: dict[str, Principal] = {}
        credentials: dict[bytes, list[Credential]] = {}
        for name, entry in entries.items():
            principal = principals[name] = self._principals.get(name) or Principal(name)
            principal.update(entry, self._defaults)
            expires_at = float("inf") if entry.expires is None else entry.expires.timestamp()
            for digest in entry.digests:
                credential = held.get(digest)
                if credential is not None and credential.principal is principal:
                    del held[digest]
                    credential.expires_at = expires_at
                else:
                    credential = Credential(digest, expires_at, principal)
                credentials.setdefault(digest[:_INDEX_BYTES], []).append(credential)
        for gone in held.values():
            gone.revoked = True
        self._principals, self._credentials = principals, credentials
