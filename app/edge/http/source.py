"""Whose requests may change something: by which name they came, and from whose page.

Only browsers say where a request comes from, and only they carry out what a stranger's page tells them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.types import Scope

from app.core.errors import Forbidden
from app.edge.edge import AccessRules

# A browser lets scripts of other sites send these, and keeps the answers from them unless CORS allows it.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Said also where something on the way has taken the origin out.
_FOREIGN_SITES = frozenset({b"cross-site", b"same-site"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]*)(:\d*)?")
_MAX_KNOWN = 1024


class Source(NamedTuple):
    """What the headers ``Host``, ``Origin`` and ``Sec-Fetch-Site`` say; empty where one is missing."""

    host: bytes
    origin: bytes
    site: bytes


class HostNames:
    """By which names a server may be called: addresses, ``localhost``, names without a dot, which no stranger
    can own, and the ``allowed`` ones; ``*.NAME`` is all below one, ``*`` all.

    A page whose own name is pointed at this machine (DNS rebinding) is of one origin with a server here, and
    no rule for other sites holds it back. What gives it away is that name.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = tuple(name.lower() for name in allowed)
        self.takes_all = "*" in self._allowed
        self.known: set[bytes] = set()

    def check(self, host: bytes) -> None:
        """Raises Forbidden."""
        if self.takes_all:
            return
        text = host.decode("latin-1").lower()
        if not self._is_ours(text):
            raise Forbidden(
                f"this server does not answer to the name {text}; --allowed-hosts says to which it does"
            )
        if len(self.known) < _MAX_KNOWN:
            self.known.add(host)

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").removesuffix(".")
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return "." not in name or any(fnmatchcase(name, one) for one in ("*.localhost", *self._allowed))
        return True


class SourceRules:
    def __init__(self, access: AccessRules) -> None:
        # With keys the key decides: a page has none that its user did not give to it.
        self._origins = None if access.keys is not None else frozenset(access.origins)
        self._hosts = HostNames(access.hosts)
        self._admin_port = access.admin_port
        self._admin_hosts = HostNames(access.admin_hosts)

    def check(self, scope: Scope, source: Source) -> None:
        """Raises Forbidden for a name that is none of the server's, and for a change by a foreign page."""
        on_admin_port = self._admin_port is not None and scope["server"][1] == self._admin_port
        names = self._admin_hosts if on_admin_port else self._hosts
        if not (names.takes_all or source.host in names.known):
            names.check(source.host)
        if self._origins is None or not (source.origin or source.site in _FOREIGN_SITES):
            return
        origin = source.origin.decode("latin-1")
        if "*" in self._origins or origin in self._origins or scope.get("method") in _SAFE:
            return
        if not (origin and source.host and _authority(origin) == source.host.decode("latin-1").lower()):
            what = "open no socket" if scope["type"] == "websocket" else "change nothing"
            raise Forbidden(
                f"a page of {origin or 'another site'} may {what} here; --cors-origins says whose pages may"
            )


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
