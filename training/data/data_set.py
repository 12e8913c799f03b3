"""A public data set: its files and where they are published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["as published", "gzipped here", "gzipped there", "zip member", "labelled reviews"]


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a data set.

    Attributes:
        path: below the data folder.
        content: sha256 of its content.
        url: where it is published; ``None`` when it cannot be fetched.
        form: how the published file relates to the one in the folder.
        member: the member of a published archive, for ``zip member``.
    """

    path: str
    content: str
    url: str | None = None
    form: Form = "as published"
    member: str = ""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Files published together.

    Attributes:
        name: for people.
        home: the publisher's page.
        licence: as stated by the publisher.
        files: what the recipes read.
    """

    name: str
    home: str
    licence: str
    files: tuple[DataFile, ...]
