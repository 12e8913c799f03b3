"""Word vectors from co-occurrence counts, to start an embedding from.

Positive pointwise mutual information, factorised (Levy, Goldberg & Dagan 2015): cheap, exact,
deterministic, and enough for a network that then trains the vectors further. Starting from
vectors of the training texts lowers the test error of LSTM classifiers (Dai & Le 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

# Contexts are damped towards uniform by this power, as in word2vec and the paper above.
_CONTEXT_POWER = 0.75
_BREAK = -1


def word_vectors(
    texts: Sequence[Sequence[int]], vocabulary: int, dimension: int, seed: int, window: int = 5
) -> NDArray[np.float32]:
    """Vectors ``[vocabulary, dimension]`` with unit variance over all entries.

    Args:
        texts: token ids of each text.
        vocabulary: number of tokens; more than ``dimension``.
        dimension: of a vector.
        seed: of the randomised factorisation.
        window: tokens on each side that count as context, nearer ones more.
    """
    ids = np.concatenate([np.asarray([*text, *[_BREAK] * window], np.int32) for text in texts])
    counts = sparse.csr_matrix((vocabulary, vocabulary), dtype=np.float32)
    for distance in range(1, window + 1):
        left, right = ids[:-distance], ids[distance:]
        together = (left != _BREAK) & (right != _BREAK)
        weight = np.full(int(together.sum()), 1.0 / distance, np.float32)
        counts += sparse.coo_matrix(
            (weight, (left[together], right[together])), shape=(vocabulary, vocabulary)
        ).tocsr()
    counts = (counts + counts.T).tocoo()
    total = float(counts.data.sum())
    word = np.asarray(counts.sum(axis=1)).ravel() / total
    context = word**_CONTEXT_POWER
    context /= context.sum()
    information = np.log(counts.data / total) - np.log(word[counts.row]) - np.log(context[counts.col])
    kept = information > 0
    matrix = sparse.csr_matrix(
        (information[kept].astype(np.float32), (counts.row[kept], counts.col[kept])),
        shape=(vocabulary, vocabulary),
    )
    left_vectors, values, _ = randomized_svd(matrix, dimension, n_iter=3, random_state=seed)
    vectors = left_vectors * np.sqrt(values)
    return np.asarray(vectors / max(float(vectors.std()), 1e-8), np.float32)
