"""A loaded graph is held once: in ONNX Runtime, and not as the bytes that it was read from."""

from __future__ import annotations

import sys

from app.bundle.reader import read_bundle
from app.runtime.session import EncoderSession, GraphSession
from tests.steps import MODELS


def test_a_session_does_not_hold_the_bytes() -> None:
    """ONNX Runtime's class would keep them for as long as it lives."""
    bundle = read_bundle(MODELS / "names/1")
    before = sys.getrefcount(bundle.graph)
    session = GraphSession(bundle.graph, bundle.manifest)
    after = sys.getrefcount(bundle.graph)
    assert after == before
    assert session.output_names == ("logits",)


def test_nor_does_that_of_an_encoder() -> None:
    """Which is a second graph."""
    bundle = read_bundle(MODELS / "translate/1")
    assert bundle.encoder is not None
    before = sys.getrefcount(bundle.encoder)
    session = EncoderSession(bundle.encoder, bundle.manifest)
    after = sys.getrefcount(bundle.encoder)
    assert after == before
    assert session.spec == bundle.manifest.encoder
