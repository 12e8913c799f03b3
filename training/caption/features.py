"""What a frozen encoder sees in pictures, computed once and kept on disk for other runs.

A file holds ``[pictures, 1 or 2, positions, features]`` as float16, the second of a picture mirrored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from tqdm import tqdm

from app.core.errors import DataError, InvalidInput
from app.tasks.caption.pictures import Pixels, Sight, as_input
from training.caption.corpus import Corpus, Picture
from training.caption.lite0 import FEATURES, STRIDE, Lite0
from training.graph import Graph

Grids = NDArray[np.float16]
_BATCH = 16
_MAX_PIXELS = 100_000_000


def pixels_of(corpus: Corpus, pictures: Sequence[Picture], size: int) -> Iterator[Pixels]:
    """The pictures as the encoder sees them. Raises DataError, which names the first that cannot be read."""
    sight = Sight(size, corpus.detail, _MAX_PIXELS)
    for picture in pictures:
        try:
            yield sight.pixels(sight.small(corpus.read(picture.name), picture.name))
        except InvalidInput as error:
            raise DataError(f"{picture.name!r}: {error.message}") from error


def grids(
    corpus: Corpus,
    pictures: Sequence[Picture],
    encoder: Lite0,
    weights: str,
    size: int,
    *,
    mirror: bool,
    cache: Path,
    quiet: bool = False,
) -> Grids:
    """The grids of features of pictures, from the cache or newly computed.

    Args:
        corpus: knows the files.
        pictures: in the order of the result.
        encoder: it is not trained.
        weights: tells the encoder's weights from others.
        size: pixels of a side.
        mirror: whether mirrored ones are computed as well.
        cache: folder.
        quiet: show no progress.

    Raises:
        DataError: a picture cannot be read, or the cache cannot be written.
    """
    digest = hashlib.sha256(f"{weights} {size} {corpus.detail} {mirror}".encode())
    for picture in pictures:
        digest.update(hashlib.sha256(corpus.read(picture.name)).digest())
    path = cache.expanduser() / f"{digest.hexdigest()}.npy"
    if not path.exists():
        partial = path.with_name(f".{path.stem}.{os.getpid()}.npy")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _compute(partial, corpus, pictures, encoder, size, mirror, quiet)
            os.replace(partial, path)
        except OSError as error:
            raise DataError(f"cannot keep features in {path.parent.name!r}: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)
    found: Grids = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _compute(
    path: Path,
    corpus: Corpus,
    pictures: Sequence[Picture],
    encoder: Lite0,
    size: int,
    mirror: bool,
    quiet: bool,
) -> None:
    sees, positions = _runner(encoder, size), (size // STRIDE) ** 2
    shape = (len(pictures), 1 + mirror, positions, FEATURES)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    pixels = pixels_of(corpus, pictures, size)
    for first in tqdm(range(0, len(pictures), _BATCH), desc="features", disable=quiet or None):
        x = np.stack([as_input(next(pixels)) for _ in pictures[first : first + _BATCH]])
        for place, view in enumerate([x, np.ascontiguousarray(x[..., ::-1])][: 1 + mirror]):
            seen = sees(view).reshape(len(x), FEATURES, positions)
            file[first : first + len(x), place] = seen.transpose(0, 2, 1)
    file.flush()


def _runner(encoder: Lite0, size: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The encoder's graph, which runs in a third of PyTorch's time."""
    g = Graph("features")
    x = g.input("x", TensorProto.FLOAT, ["batch", 3, size, size])
    side = size // STRIDE
    g.output("features", encoder.emit(g, x), ["batch", FEATURES, side, side])
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = ort.InferenceSession(g.model().SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(None, {"x": pixels})[0]
        return found

    return run
