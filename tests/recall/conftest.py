"""Bundles of encoder-decoders, and one server of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from app.bundle.reader import Bundle, read_bundle
from tests.e2e.server import ServerProcess
from tests.recall.network import VOCABULARY, PictureEncoder, export_recall, networks, pictures
from training.cells import RecurrentStack
from training.encoder_decoder import AttendingNet


@pytest.fixture(scope="session")
def recall_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that reads tokens, with each cell, and one that reads pictures."""
    models = tmp_path_factory.mktemp("recall")
    export_recall(models)
    for cell in ("lstm", "rnn"):
        read, written = networks(cell)
        export_recall(models, name=f"recall-{cell}", encoder=read, net=written)
    torch.manual_seed(3)
    recurrent = RecurrentStack("gru", 6, 16)
    net = AttendingNet(
        nn.Embedding(VOCABULARY, 6), recurrent, nn.Linear(16, 4), nn.Linear(16 + 6, VOCABULARY)
    )
    encoder = PictureEncoder(recurrent.size, 10)
    for parameter in (*encoder.parameters(), *net.parameters()):
        nn.init.normal_(parameter, std=0.5)
    export_recall(
        models,
        name="seen",
        encoder=encoder,
        net=net,
        golden_inputs=pictures(),
    )
    return models


@pytest.fixture(scope="session", params=["recall", "recall-lstm", "recall-rnn"])
def bundle(recall_models: Path, request: pytest.FixtureRequest) -> Bundle:
    """One that reads tokens."""
    return read_bundle(recall_models / request.param / "1")


@pytest.fixture(scope="module")
def server(recall_models: Path) -> Iterator[ServerProcess]:
    """A server of all of them."""
    with ServerProcess(recall_models, tasks="recall") as running:
        running.wait_until_ready()
        yield running
