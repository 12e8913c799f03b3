"""Settings that say who may use the service, from where, and how much."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\*")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+|\*|null")


def _is_network(item: str) -> bool:
    try:
        return item == "*" or bool(ipaddress.ip_network(item))
    except ValueError:
        return False


_FORMS: dict[str, tuple[Callable[[str], object], str]] = {
    "cors_origins": (_ORIGIN.fullmatch, "SCHEME://HOST, SCHEME://HOST:PORT or *"),
    "allowed_hosts": (_HOST.fullmatch, "a name such as api.example.org or *.example.org, without a port"),
    "trusted_proxies": (_is_network, "an address, a network such as 10.0.0.0/8, or *"),
}
"""Settings that are lists: what an item must be."""


class AccessSettings(BaseSettings):
    keys: Path | None = Field(
        None,
        description="file of API keys, see docs/security.md; left out, no key is asked for. It is read "
        "again when it changes",
    )
    key_requests_per_s: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="requests a second of each key whose entry does not say otherwise, before 429; "
        "each server process counts for itself",
    )
    key_steps_per_s: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="steps of a network a second of each key whose entry does not say otherwise, before 429; "
        "a generation counts its prompt and max_tokens",
    )
    key_burst_s: float = Field(
        1.0, gt=0, le=86_400, description="seconds of its two rates that a key may use at once"
    )
    key_max_sessions: int | None = Field(
        None,
        ge=0,
        le=2**40,
        description="live sessions of each key whose entry does not say otherwise, before 429; "
        "of all servers together",
    )
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port that alone answers /metrics, /admin and the loading of models, besides health; "
        "0 takes a free one; left out, the main port answers them",
    )
    admin_host: str = Field("127.0.0.1", description="address of the admin port")
    cors_origins: str = Field(
        "",
        description="origins whose pages may call the service from a browser, by commas, as in "
        "https://example.org; an asterisk for all",
    )
    allowed_hosts: str = Field(
        "",
        description="names by which the service may be called besides addresses, localhost and names without "
        "a dot, by commas, as in api.example.org or *.example.org; an asterisk for all. Left out: none for a "
        "server on a loopback address that has neither keys nor trusted proxies, else all",
    )
    trusted_proxies: str = Field(
        "",
        description="addresses and networks, by commas, whose X-Forwarded-For and X-Forwarded-Proto are "
        "believed; an asterisk for all",
    )

    @field_validator(*_FORMS)
    @classmethod
    def _items_parse(cls, value: str, info: ValidationInfo) -> str:
        fits, form = _FORMS[info.field_name or ""]
        for item in listed(value):
            if not fits(item):
                raise ValueError(f"{item!r} is not {form}")
        return value

    def hosts_of(self, listens_on: str) -> tuple[str, ...]:
        """By which names a server on this address may be called; an asterisk for all."""
        if self.allowed_hosts:
            return listed(self.allowed_hosts)
        try:
            is_loopback = ipaddress.ip_address(listens_on.partition("%")[0]).is_loopback
        except ValueError:
            is_loopback = listens_on == "localhost"
        return () if is_loopback and self.keys is None and not self.trusted_proxies else ("*",)

    @property
    def origins(self) -> tuple[str, ...]:
        return listed(self.cors_origins)


def listed(value: str) -> tuple[str, ...]:
    return tuple(filter(None, (item.strip() for item in value.split(","))))
