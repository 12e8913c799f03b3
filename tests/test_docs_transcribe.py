"""The page on speech: its examples run, one after the other, and its frames are the code's."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from app.registered import TASKS
from tests.e2e.server import ServerProcess
from tests.readme import SHIPPED, ask

PAGE = (Path(__file__).parent.parent / "docs/transcribe.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
SOUND = SHIPPED.parent / "examples/digits.wav"
SAID = "four zero seven seven two"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The shipped bundles, with sessions on disk."""
    with ServerProcess(SHIPPED, load="on-demand", state_dir=tmp_path_factory.mktemp("state")) as server:
        yield server


def test_the_commands_hear_what_is_said(server: ServerProcess) -> None:
    """Five digits, of takes that training has not heard, by a file, by samples and by a session."""
    answers = [ask(command, server.port) for command in COMMANDS]
    whole, text, srt, raw, opened, first, last = answers
    assert json.loads(whole)["text"] == SAID
    assert text == SAID
    assert " ".join(re.findall(r"^\d+\n.* --> .*\n(.*)$", srt, re.MULTILINE)) == SAID
    assert json.loads(raw) == json.loads(whole)
    assert json.loads(opened)["task"] == "transcribe"
    outputs = [*json.loads(first)["outputs"], *json.loads(last)["outputs"]]
    segments = [segment for output in outputs for segment in output["segments"]]
    assert " ".join(segment["text"] for segment in segments) == SAID
    assert outputs[-1]["finished"]


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_a_sound_of_any_rate_is_heard_alike(server: ServerProcess, rate: int) -> None:
    samples, given = soundfile.read(SOUND, dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, soxr.resample(samples, given, rate), rate, format="WAV")
    with server.client() as client:
        assert client.post("/transcribe", files={"file": ("a.wav", file.getvalue())}).json()["text"] == SAID


def test_silence_and_noise_say_nothing(server: ServerProcess) -> None:
    random = np.random.default_rng(0)
    sounds = [np.zeros(24_000), random.normal(0, 30, 24_000), random.normal(0, 1000, 24_000)]
    with server.client() as client:
        for samples in sounds:
            content = samples.astype("<i2").tobytes()
            answer = client.post(
                "/transcribe?rate=8000", content=content, headers={"content-type": "audio/pcm"}
            )
            assert answer.json()["text"] == ""


def test_the_openai_example_runs(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """The client of the page, word for word."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code.replace("localhost:8000", f"localhost:{server.port}"), "transcribe.md", "exec"), {})
    assert capsys.readouterr().out.startswith(f"{SAID} [('four', ")


def test_every_frame_is_documented() -> None:
    """With all of its fields."""
    (live,) = [task.live for task in TASKS if task.live is not None]
    for frame in live.frames:
        kind = frame.model_fields["type"].default
        (line,) = re.findall(rf'^\| `(\{{"type": "{kind}"[^`]*)` \|', PAGE, re.MULTILINE)
        assert set(re.findall(r'"(\w+)"', line)) - {kind} == set(frame.model_fields)
