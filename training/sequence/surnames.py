"""Surnames by language, from PyTorch's tutorial on classifying names."""

from __future__ import annotations

from app.bundle.manifest import Source
from training.data.catalogue import CATALOGUE
from training.data.download import DataStore

NAME = "surnames"


def read_surnames(store: DataStore) -> tuple[list[str], list[str], tuple[Source, ...]]:
    """Names, the language of each, and where they come from; the same pair is taken once.

    Raises:
        DataError: a file is missing or not the one expected.
    """
    names, languages, sources = [], [], []
    for entry in CATALOGUE[NAME].files:
        language = entry.path.rpartition("/")[2].removesuffix(".txt")
        lines = store.file(entry.path).read_text("utf-8").splitlines()
        found = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
        names += found
        languages += [language] * len(found)
        sources.append(store.source(entry.path))
    return names, languages, tuple(sources)
