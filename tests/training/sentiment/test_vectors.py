"""Word vectors from co-occurrence: words used alike end up near each other."""

from __future__ import annotations

import numpy as np

from training.sentiment.vectors import word_vectors

# Tokens 1 and 2 keep the company of 3, 4; tokens 5 and 6 that of 7, 8.
GROUPS = ((1, 2), (3, 4)), ((5, 6), (7, 8))


def texts() -> list[list[int]]:
    """Short texts, each of one group."""
    random = np.random.default_rng(0)
    result = []
    for index in range(400):
        words, company = GROUPS[index % 2]
        result.append([int(random.choice(company)), int(random.choice(words)), int(random.choice(company))])
    return result


def test_words_in_like_company_have_like_vectors() -> None:
    """Cosine within a group is far above that between groups."""
    vectors = word_vectors(texts(), 9, 4, seed=0, window=2)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
    cosine = unit @ unit.T
    assert cosine[1, 2] > 0.9
    assert cosine[5, 6] > 0.9
    assert cosine[1, 5] < 0.5


def test_vectors_repeat_by_seed_and_have_unit_scale() -> None:
    """They are an initialisation, so their size is fixed; a word never seen gets zeros."""
    vectors = word_vectors(texts(), 10, 4, seed=3)
    np.testing.assert_array_equal(vectors, word_vectors(texts(), 10, 4, seed=3))
    assert vectors.shape == (10, 4)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors.std(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(vectors[9], 0.0, atol=1e-6)


def test_texts_do_not_touch() -> None:
    """The last word of a text is no neighbour of the next text's first, so their order is of no matter."""
    apart = word_vectors([[1, 2], [3, 4]] * 50, 5, 4, seed=0, window=3)
    sorted_apart = word_vectors([[1, 2]] * 50 + [[3, 4]] * 50, 5, 4, seed=0, window=3)
    together = word_vectors([[1, 2, 3, 4]] * 50, 5, 4, seed=0, window=3)
    np.testing.assert_array_equal(apart, sorted_apart)
    assert not np.allclose(apart, together)
