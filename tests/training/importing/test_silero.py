"""Silero VAD, which nobody here made: an LSTM over frames of 512 samples and the 64 before them.

Its package is installed for the tests. People lose its state and its context; in a session neither can be.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import silero_vad
import torch
from numpy.typing import NDArray
from silero_vad.utils_vad import OnnxWrapper
from websockets.sync.client import connect

from tests.e2e.server import ServerProcess
from tests.training.importing.foreign import Imported

FRAME = 512
BOUND = 1e-5
DATA = Path(silero_vad.__file__).parent / "data"
OPTIONS: dict[str, Any] = {"step": FRAME, "context": 64}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its file imported as it is."""
    folder = tmp_path_factory.mktemp("models")
    Imported(DATA / "silero_vad.onnx", folder, name="vad", set=["sr=16000"], **OPTIONS)
    return folder


@pytest.fixture(scope="module")
def frames() -> NDArray[np.float32]:
    """``[time, 512]``: ten minutes of tones that come and go like a voice, over noise, at 16 kHz."""
    random = np.random.default_rng(0)
    time = np.arange(FRAME * 18_750) / 16_000
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    voice = sum(np.sin(k * phase) / k for k in range(1, 20)) * np.maximum(0, np.sin(2 * np.pi * 2.3 * time))
    voice *= np.sin(2 * np.pi * 0.11 * time) > 0
    sound = 0.2 * np.asarray(voice) + 0.01 * random.standard_normal(len(time))
    return sound.astype(np.float32).reshape(-1, FRAME)


@pytest.fixture(scope="module")
def expected(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the package's own wrapper says of each frame."""
    wrapper = OnnxWrapper(str(DATA / "silero_vad.onnx"), force_onnx_cpu=True)
    return np.array([wrapper(torch.from_numpy(frame), 16_000).item() for frame in frames], np.float32)


def test_it_says_what_its_own_wrapper_says(
    models: Path, frames: NDArray[np.float32], expected: NDArray[np.float32]
) -> None:
    """Frame by frame; some of it is speech to it, some is not."""
    assert expected.max() > 0.7
    assert expected.min() < 0.1
    imported = Imported(DATA / "silero_vad.onnx", models.parent, set=["sr=16000"], **OPTIONS)
    found = imported.run(frames[None], (1, 2, 130, 131))[0, :, 0]
    np.testing.assert_allclose(found, expected, atol=BOUND)
    assert [field.name for field in imported.bundle.manifest.row.fields] == ["state", "context"]


def test_a_session_over_a_socket_survives_a_kill(
    models: Path, tmp_path: Path, frames: NDArray[np.float32], expected: NDArray[np.float32]
) -> None:
    """The next server goes on with state and context; what was sent again is not applied twice."""
    said: list[float] = []
    for first, last in ((0, 70), (70, 140)):
        with ServerProcess(models, state_dir=tmp_path) as server, server.client() as client:
            if first == 0:
                client.post("/sessions", json={"model": "vad", "id": "call"}).raise_for_status()
            with connect(f"{server.url.replace('http', 'ws', 1)}/sessions/call") as socket:
                hello = json.loads(socket.recv(timeout=30))
                assert hello["next_seq"] == first + 1
                for place in range(first, last):
                    message = {"type": "step", "seq": place + 1, "inputs": frames[place].tolist()}
                    socket.send(json.dumps(message))
                    answer = json.loads(socket.recv(timeout=30))
                    said.append(answer["outputs"][0]["output"])
            server.kill()
    np.testing.assert_allclose(said, expected[:140], atol=BOUND)


def test_a_recording_is_one_array(
    models: Path, frames: NDArray[np.float32], expected: NDArray[np.float32]
) -> None:
    """Samples in a row, as numpy.save writes them, in a compressed body."""
    saved = io.BytesIO()
    np.save(saved, frames[:400].reshape(-1))
    with ServerProcess(models) as server, server.client() as client:
        headers = {"content-type": "application/x-npy", "content-encoding": "gzip"}
        answer = client.post(
            "/sequence?model=vad&read=each", content=gzip.compress(saved.getvalue(), 1), headers=headers
        )
        (result,) = answer.json()["results"]
    np.testing.assert_allclose([step["output"] for step in result["steps"]], expected[:400], atol=BOUND)
