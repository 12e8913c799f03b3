"""What a translator must beat: the translation of the most similar sentence that training has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from training.translate.corpus import Pair


def nearest(known: Sequence[Pair], texts: Sequence[str]) -> list[str]:
    """A translation memory: by the cosine of word counts, weighted by how rare words are."""
    vectoriser = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b")
    table = vectoriser.fit_transform([pair.source for pair in known])
    scores = vectoriser.transform(texts) @ table.T
    return [known[int(np.argmax(row.toarray()))].target for row in scores]
