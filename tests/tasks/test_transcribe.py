"""Speech recognition: any cut of a sound is heard alike, over every way in; hostile sounds are refused."""

from __future__ import annotations

import base64
import io
import json
import struct
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import ClientConnection, connect

from app.bundle.reader import read_bundle
from app.runtime.session import GraphSession
from app.tasks.session import AppliedInputs
from app.tasks.transcribe.audio import FACTORS, NONE, Thinner, read_sound
from app.tasks.transcribe.ctc import BLANK, WordReader, best_paths, new_labels
from app.tasks.transcribe.model import TranscribeModel
from app.tasks.transcribe.schema import Sound, TranscribeLimits
from app.tasks.transcribe.spec import TranscribeSpec
from tests.bundles import tiny_hearer
from tests.e2e.server import ServerProcess

RATE = 8000
LETTERS = TranscribeSpec(unit="character", units=("a", "b", " "), sample_rate=RATE, step_samples=320)
PIECES = TranscribeSpec(unit="bpe", units=(" a", "b", " c"), sample_rate=RATE, step_samples=320)
WORDS = TranscribeSpec(unit="word", units=("yes", "no"), sample_rate=RATE, step_samples=320)
CUTS = (1, 7, 319, 320, 321, 8000)


def sound(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Noise that comes and goes, so that letters are heard in it."""
    random = np.random.default_rng(seed)
    count = round(seconds * rate)
    level = np.repeat(random.random(count // (rate // 10) + 1), rate // 10)[:count]
    return (random.normal(0, 4000, count) * level).clip(-32768, 32767).astype("<i2")


def wav(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """A sound file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def text_of(data: bytes) -> str:
    """In base64."""
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights."""
    folder = tmp_path_factory.mktemp("models")
    tiny_hearer(folder)
    return folder


@pytest.fixture(scope="module")
def model(models: Path) -> tuple[TranscribeModel, GraphSession, np.ndarray]:
    """The task's model, its graph, and its start row."""
    bundle = read_bundle(next(models.rglob("manifest.json")).parent)
    graph = GraphSession(bundle.graph, bundle.manifest)
    return TranscribeModel(bundle, TranscribeLimits()), graph, bundle.start


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """With sessions on disk."""
    state = tmp_path_factory.mktemp("state")
    with ServerProcess(models, default="transcribe=tiny-ears", state_dir=state, max_audio_s=30) as server:
        yield server


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client


Heard = tuple[list[dict[str, Any]], np.ndarray]


def fed(
    found: tuple[TranscribeModel, GraphSession, np.ndarray], pieces: list[np.ndarray], rate: int
) -> Heard:
    """Segments, and the row, of a sound fed in pieces to a session."""
    model, graph, row = found
    context, segments = model.session.open({"rate": rate}), []
    memory: dict[str, Any] = {}
    for index, piece in enumerate(pieces):
        inputs = {"pcm16": text_of(piece.tobytes()), "finish": index == len(pieces) - 1}
        encoded = model.session.encode(context, index, inputs)
        outputs = np.zeros(0, np.float32)
        if len(encoded.steps):
            (values,), rows = graph.run(encoded.steps[None], row[None], 0)
            outputs, row = values[0], rows[0]
        ((said,),) = model.session.describe([AppliedInputs(encoded, None, outputs, memory)])
        # What is stored is JSON.
        context, memory = json.loads(json.dumps(encoded.context)), json.loads(json.dumps(memory))
        segments += [
            {key: value for key, value in one.items() if key != "segment"} for one in said["segments"]
        ]
    return segments, row


def whole(found: tuple[TranscribeModel, GraphSession, np.ndarray], samples: np.ndarray, rate: int) -> Heard:
    """The same of a request."""
    model, graph, row = found
    prepared = model.prepare(Sound(data=samples.tobytes(), rate=rate))
    (values,), rows = graph.run(prepared.blocks[0].steps.astype(np.float32), row[None], 0)
    answer = model.finish(prepared, [values[0]])
    return [segment.model_dump() for segment in answer.segments], rows[0]


@pytest.mark.parametrize("cut", CUTS)
def test_any_cut_of_a_sound_is_heard_alike(
    model: tuple[TranscribeModel, GraphSession, np.ndarray], cut: int
) -> None:
    """Words, times, confidences and the row, to the bit; as one request too."""
    samples = sound(1.5)
    pieces = [samples[first : first + cut] for first in range(0, len(samples), cut)]
    segments, row = fed(model, pieces, RATE)
    expected, last = whole(model, samples, RATE)
    assert segments == expected
    assert len(segments) >= 1
    np.testing.assert_array_equal(row, last)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 30_000), max_size=8), factor=st.sampled_from(FACTORS), seed=st.integers(0, 9)
)
def test_cuts_at_random_places_and_other_rates_are_heard_alike(
    model: tuple[TranscribeModel, GraphSession, np.ndarray], cuts: list[int], factor: int, seed: int
) -> None:
    """Empty pieces among them."""
    rate = RATE * factor
    samples = sound(0.7, seed, rate)
    places = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    pieces = [samples[first:last] for first, last in pairwise(places)]
    segments, row = fed(model, pieces, rate)
    expected, last = whole(model, samples, rate)
    assert segments == expected
    np.testing.assert_array_equal(row, last)


def test_a_thinned_sound_keeps_low_tones_and_loses_high_ones() -> None:
    """At six times the rate: 500 Hz stays, 9 kHz goes."""
    time = np.arange(48_000) / 48_000
    for hertz, least, most in ((500, 0.97, 1.03), (3000, 0.7, 1.03), (9000, 0.0, 0.01), (20_000, 0.0, 0.01)):
        tone = (10_000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)
        kept, _ = Thinner(6).run(NONE, tone, 0)
        assert len(kept) == 8000
        share = np.sqrt(np.mean(kept[500:].astype(float) ** 2)) / (10_000 / np.sqrt(2))
        assert least <= share <= most, hertz


def logits(path: list[int], labels: int) -> np.ndarray:
    """Of a network that is sure of this path."""
    found = np.zeros((len(path), labels), np.float32)
    found[np.arange(len(path)), path] = 9.0
    return found


def read(spec: TranscribeSpec, path: list[int], pause: int = 5) -> list[list[tuple[str, int, int]]]:
    """Words with the steps at which they were told, by segment."""
    reader = WordReader(spec)
    memory, segments = reader.push({}, logits(path, 1 + len(spec.units)), pause)
    segments += reader.close(memory)[1]
    return [[(word.text, word.first, word.last) for word in segment] for segment in segments]


def test_words_are_put_together_of_words_letters_and_pieces() -> None:
    """A label that lasts is one; with a blank between it is two."""
    assert read(WORDS, [0, 1, 1, 0, 1, 2]) == [[("yes", 1, 2), ("yes", 4, 4), ("no", 5, 5)]]
    assert read(LETTERS, [1, 1, 0, 1, 2, 3, 3, 2, 0, 1]) == [[("aab", 0, 4), ("ba", 7, 9)]]
    assert read(LETTERS, [3, 0, 3, 1]) == [[("a", 3, 3)]]
    assert read(PIECES, [1, 0, 2, 2, 3, 2]) == [[("ab", 0, 3), ("cb", 4, 5)]]


def test_a_pause_ends_a_segment_and_loses_nothing() -> None:
    """Nor does a word that begins where the last segment ended; a pause a step shorter ends none."""
    assert read(WORDS, [1, *[0] * 5, 2]) == [[("yes", 0, 0)], [("no", 6, 6)]]
    assert read(WORDS, [1, *[0] * 4, 2]) == [[("yes", 0, 0), ("no", 5, 5)]]
    assert read(WORDS, [1, *[0] * 5, 1]) == [[("yes", 0, 0)], [("yes", 6, 6)]]
    long = [label for _ in range(300) for label in (1, 0)]
    segments = read(WORDS, long)
    assert sum(map(len, segments)) == 300
    assert len(segments) == 2


def test_a_text_without_spaces_is_cut_too() -> None:
    """After twenty seconds; nothing is lost."""
    segments = read(LETTERS, [label for _ in range(700) for label in (1, 2)])
    assert [(first, last) for ((_, first, last),) in segments] == [(0, 499), (500, 999), (1000, 1399)]
    assert "".join(text for ((text, _, _),) in segments) == "ab" * 700


@settings(max_examples=60, deadline=None)
@given(
    path=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    spec=st.sampled_from([LETTERS, PIECES]),
)
def test_what_is_read_does_not_depend_on_where_outputs_are_cut(
    path: list[int], cuts: list[int], spec: TranscribeSpec
) -> None:
    """Segments end at the same places."""
    reader, segments = WordReader(spec), []
    memory: dict[str, Any] = {}
    given_logits = logits(path, 4)
    for first, last in pairwise([0, *sorted(min(cut, len(path)) for cut in cuts), len(path)]):
        memory, ended = reader.push(memory, given_logits[first:last], 3)
        segments += ended
    segments += reader.close(memory)[1]
    assert [[(word.text, word.first, word.last) for word in one] for one in segments] == read(spec, path, 3)


def all_paths(probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """Label sequences with their probabilities, by counting every path."""
    found: dict[tuple[int, ...], float] = {}
    steps, labels = probabilities.shape
    for number in range(labels**steps):
        path = np.array([number // labels**step % labels for step in range(steps)])
        sequence = tuple(path[new_labels(path, BLANK)].tolist())
        found[sequence] = found.get(sequence, 0.0) + float(probabilities[np.arange(steps), path].prod())
    return found


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 6))
def test_the_best_paths_are_those_that_counting_all_finds(seed: int, steps: int) -> None:
    """A wide beam loses none of a small network's."""
    given_logits = np.random.default_rng(seed).normal(0, 1.5, (steps, 3)).astype(np.float32)
    weights = np.exp(given_logits.astype(float))
    expected = all_paths(weights / weights.sum(axis=1, keepdims=True))
    found = best_paths(given_logits, 200, 5)
    ranked = sorted(expected.values(), reverse=True)[:5]
    assert len(found) >= min(2, len(ranked))
    for (labels, logprob), probability in zip(found, ranked, strict=False):
        # What is less likely than a thousandth at a step is not looked at.
        assert np.exp(logprob) == pytest.approx(probability, abs=0.004)
        assert expected[labels] == pytest.approx(probability, abs=0.004)


@pytest.mark.parametrize(
    ("kind", "subtype", "media"),
    [
        ("WAV", "PCM_16", "audio/wav"),
        ("FLAC", "PCM_16", "audio/flac"),
        ("WAV", "PCM_24", "audio/x-wav"),
        ("OGG", "VORBIS", "audio/ogg"),
        ("MP3", None, "audio/mpeg"),
        ("WAV", "PCM_16", "application/octet-stream"),
        ("WAV", "PCM_16", "application/x-www-form-urlencoded"),
    ],
)
def test_sound_files_are_read(http: httpx2.Client, kind: str, subtype: str | None, media: str) -> None:
    """What loses nothing gives the same words as the samples themselves."""
    samples = sound(1.0, 3)
    answer = http.post(
        "/transcribe", content=wav(samples, kind=kind, subtype=subtype), headers={"content-type": media}
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["model"] == "tiny-ears@1"
    if subtype in ("PCM_16", "PCM_24"):
        raw = http.post(
            "/transcribe", content=samples.tobytes(), headers={"content-type": "audio/L16;rate=8000"}
        ).json()
        assert body == raw
        assert body["duration"] == 1.0
        assert body["segments"][0]["words"][0].keys() == {"word", "start", "end", "confidence"}


def test_a_file_comes_as_a_form_too_and_in_base64(http: httpx2.Client) -> None:
    """As ``curl -F file=@clip.wav`` sends it."""
    file = wav(sound(0.8, 4))
    expected = http.post("/transcribe", content=file, headers={"content-type": "audio/wav"}).json()
    form = http.post("/transcribe", files={"file": ("clip.wav", file, "audio/wav")}, data={"n": "1"})
    assert form.json() == expected
    assert http.post("/transcribe", json={"audio": text_of(file)}).json() == expected


def test_texts_subtitles_and_alternatives_are_given(http: httpx2.Client) -> None:
    """By ``format`` or by ``Accept``."""
    file, kind = wav(sound(2.0, 5)), {"content-type": "audio/wav"}
    body = http.post("/transcribe?n=3&timestamps=segment", content=file, headers=kind).json()
    assert [segment["words"] for segment in body["segments"]] == [None] * len(body["segments"])
    scores = [one["logprob"] for one in body["alternatives"]]
    assert scores == sorted(scores, reverse=True)
    assert len({one["text"] for one in body["alternatives"]}) == len(scores)
    text = http.post("/transcribe?format=text", content=file, headers=kind)
    assert text.text == f"{body['text']}\n"
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    vtt = http.post("/transcribe", content=file, headers={**kind, "accept": "text/vtt"}).text
    assert vtt.startswith("WEBVTT\n\n00:00:")
    srt = http.post("/transcribe?format=srt", content=file, headers=kind).text
    assert srt.startswith("1\n00:00:")
    assert srt.count(" --> ") == vtt.count(" --> ") == len(body["segments"])


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_other_rates_and_channels_are_heard(http: httpx2.Client, rate: int) -> None:
    """Raw and in a file alike; two equal channels are one."""
    samples = sound(1.0, 6, rate)
    raw = http.post(
        f"/transcribe?rate={rate}", content=samples.tobytes(), headers={"content-type": "audio/pcm"}
    ).json()
    both = wav(np.stack([samples, samples], axis=1), rate)
    assert http.post("/transcribe", content=both, headers={"content-type": "audio/wav"}).json() == raw
    odd = http.post("/transcribe", content=wav(samples, 44_100), headers={"content-type": "audio/wav"})
    assert odd.json()["duration"] == round(rate / 44_100, 4)


def huge_header() -> bytes:
    """A WAV of 60 bytes whose header claims four gigabytes."""
    head = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return head + b"data\xff\xff\xff\xff" + bytes(16)


def unknown_length() -> bytes:
    """A FLAC whose header says nothing of its length."""
    data = bytearray(wav(sound(0.5), kind="FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


@pytest.mark.parametrize(
    ("file", "status"),
    [
        (huge_header(), 200),
        (unknown_length(), 200),
        (wav(sound(1.0))[:5000], 200),
        (wav(np.zeros(0, np.int16)), 200),
        (wav(sound(31.0)), 422),
        (wav(sound(0.5), 1000), 422),
        (b"RIFF", 422),
        (b"not a sound at all\n" * 20, 422),
        (b"\x00" * 3000, 422),
        (wav(sound(1.0), kind="FLAC")[:60], 422),
    ],
    ids=["huge", "unknown", "cut", "empty", "long", "slow", "tiny", "text", "zeros", "headless"],
)
def test_hostile_files_get_a_clear_answer(http: httpx2.Client, file: bytes, status: int) -> None:
    """An error that says what is wrong, or what could be heard."""
    answer = http.post("/transcribe", content=file, headers={"content-type": "audio/wav"})
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["errors"][0]["field"] == "body"
    assert http.get("/healthz").status_code == 200


def test_the_memory_of_a_header_that_lies_is_bounded() -> None:
    """Its sixteen bytes of sound are all that is read."""
    samples, seconds = read_sound(huge_header(), RATE, 600.0)
    assert (len(samples), seconds) == (8, 8 / RATE)


@pytest.mark.parametrize(
    ("path", "content", "kind", "field"),
    [
        ("/transcribe", bytes(100), "audio/pcm", "rate"),
        ("/transcribe?rate=44100", bytes(100), "audio/pcm", "rate"),
        ("/transcribe?rate=8000", bytes(101), "audio/pcm", "body"),
        ("/transcribe", bytes(100), "audio/L16;rate=8000;channels=2", "channels"),
        ("/transcribe?n=99", wav(sound(0.1)), "audio/wav", "n"),
        ("/transcribe?format=docx", wav(sound(0.1)), "audio/wav", "format"),
        ("/transcribe", b'{"pcm16": "AAAA"}', "application/json", "rate"),
        ("/transcribe", b'{"audio": "?"}', "application/json", "audio"),
        ("/transcribe", b"{}", "application/json", "audio"),
    ],
)
def test_wrong_requests_name_the_field(
    http: httpx2.Client, path: str, content: bytes, kind: str, field: str
) -> None:
    answer = http.post(path, content=content, headers={"content-type": kind})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].removeprefix("query.") == field


def test_mu_law_is_heard(http: httpx2.Client) -> None:
    """As a telephone sends it; soundfile's own coding is the measure."""
    samples = sound(1.0, 7)
    coded = wav(samples, kind="AU", subtype="ULAW")
    decoded, _ = soundfile.read(io.BytesIO(coded), dtype="int16")
    raw = http.post("/transcribe", content=coded[-len(samples) :], headers={"content-type": "audio/basic"})
    again = http.post(
        "/transcribe?rate=8000", content=decoded.tobytes(), headers={"content-type": "audio/pcm"}
    )
    assert raw.json() == again.json()


def test_the_openai_client_gets_text_words_and_subtitles(server: ServerProcess, http: httpx2.Client) -> None:
    """The package as it is."""
    file = wav(sound(2.0, 5))
    expected = http.post("/transcribe", content=file, headers={"content-type": "audio/wav"}).json()
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        sounds = client.audio.transcriptions
        assert sounds.create(model="tiny-ears", file=("a.wav", file)).text == expected["text"]
        told = sounds.create(
            model="tiny-ears@1",
            file=("a.wav", file, "audio/wav"),
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
            language="en",
            temperature=0,
        )
        assert told.duration == expected["duration"]
        words = [word for segment in expected["segments"] for word in segment["words"]]
        assert [(word.word, word.start, word.end) for word in told.words or ()] == [
            (word["word"], word["start"], word["end"]) for word in words
        ]
        for segment, heard in zip(told.segments or (), expected["segments"], strict=True):
            assert segment.text == heard["text"]
            assert np.exp(segment.avg_logprob) == pytest.approx(heard["confidence"], abs=1e-3)
            assert segment.compression_ratio > 0
        assert sounds.create(model="tiny-ears", file=file, response_format="vtt").startswith("WEBVTT")
        events = list(sounds.create(model="tiny-ears", file=file, stream=True))
        assert events[-1].type == "transcript.text.done"
        assert "".join(one.delta for one in events[:-1] if hasattr(one, "delta")) == expected["text"]
        with pytest.raises(openai.NotFoundError):
            sounds.create(model="whisper-1", file=file)
        with pytest.raises(openai.BadRequestError, match="prompt"):
            sounds.create(model="tiny-ears", file=file, prompt="names")
        with pytest.raises(openai.BadRequestError, match="sound"):
            sounds.create(model="tiny-ears", file=b"nothing at all")


def live(server: ServerProcess) -> ClientConnection:
    return connect(f"{server.url.replace('http', 'ws', 1)}/transcribe")


def received(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """All frames up to the first of this kind."""
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] != kind:
        frames.append(json.loads(socket.recv(timeout=30)))
        assert frames[-1]["type"] != "error" or kind == "error", frames[-1]
    return frames


def finals(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in frame.items() if key not in ("type", "segment")}
        for frame in frames
        if frame["type"] == "final"
    ]


def test_a_live_stream_gives_what_the_file_gives(server: ServerProcess, http: httpx2.Client) -> None:
    """Two streams in turn on one socket; mistakes in between end nothing but themselves."""
    samples = sound(2.0, 5)
    expected = http.post("/transcribe", content=wav(samples), headers={"content-type": "audio/wav"}).json()
    with live(server) as socket:
        socket.send(b"\0\0")
        assert received(socket, "error")[-1]["detail"].startswith("no stream is open")
        socket.send(json.dumps({"type": "start", "sample_rate": 11_025}))
        assert received(socket, "error")[-1]["errors"][0]["allowed"] == [8000, 16_000, 24_000, 32_000, 48_000]
        for cut in (640, 7001):
            socket.send(json.dumps({"type": "start", "sample_rate": RATE}))
            assert received(socket, "ready")[-1] == {"type": "ready", "model": "tiny-ears@1", "samples": 0}
            data = samples.tobytes()
            for first in range(0, len(data), cut):
                socket.send(data[first : first + cut])
            socket.send(json.dumps({"type": "finish"}))
            frames = received(socket, "done")
            assert finals(frames) == expected["segments"]
            assert frames[-1] == {
                "type": "done",
                "samples": len(samples),
                "segments": len(expected["segments"]),
            }
            taken = [frame["samples"] for frame in frames if frame["type"] == "partial"]
            assert taken == sorted(taken)


def test_what_ends_a_live_stream_ends_nothing_else(server: ServerProcess) -> None:
    """Half a sample at its end, or a frame over the limit; what comes behind is dropped, up to a start."""
    start, finish = json.dumps({"type": "start", "sample_rate": RATE}), json.dumps({"type": "finish"})
    second = sound(1.0).tobytes()
    with live(server) as socket:
        socket.send(start)
        socket.send(second[:333])
        socket.send(finish)
        assert received(socket, "error")[-1]["errors"][0]["field"] == "inputs.pcm16"
        # A frame may end in a sample that the next one goes on with.
        socket.send(start)
        socket.send(second[:333])
        assert received(socket, "partial")[-1]["samples"] == 166
        socket.send(second[333:])
        assert received(socket, "partial")[-1]["samples"] == RATE
        socket.send(finish)
        received(socket, "done")
        socket.send(start)
        for data in (second, bytes(2**20 + 1), second, second):
            socket.send(data)
        socket.send(start)
        frames = received(socket, "error")
        assert frames[-1]["detail"].startswith("the body is larger than the limit")
        assert received(socket, "ready") == [{"type": "ready", "model": "tiny-ears@1", "samples": 0}]
        # Once it has finished, another one may start at once, however much there is to hear yet.
        for _ in range(60):
            socket.send(second)
        socket.send(finish)
        socket.send(start)
        assert received(socket, "done")[-1]["samples"] == 60 * RATE
        assert received(socket, "ready")[-1]["samples"] == 0


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"session": "a/b"}, "'a/b' is no id of a session"),
        ({"session": "others", "model": "tiny-ears@2"}, "belongs to tiny-ears@1, not to tiny-ears@2"),
        ({"session": "others", "encoding": "mulaw"}, "began with pcm16"),
        ({"session": "others", "endpoint": 5}, "endpoint: unknown field"),
    ],
)
def test_a_stream_goes_on_with_what_its_session_began_with(
    server: ServerProcess, start: dict[str, Any], message: str
) -> None:
    """Another model, or other samples, are refused."""
    with live(server) as socket:
        socket.send(json.dumps({"type": "start", "sample_rate": RATE, "session": "others"}))
        received(socket, "ready")
        socket.send(sound(0.1).tobytes())
        received(socket, "partial")
    with live(server) as socket:
        socket.send(json.dumps({"type": "start", "sample_rate": RATE, **start}))
        assert message in received(socket, "error")[-1]["detail"]


def test_a_stream_that_falls_silent_is_closed(models: Path) -> None:
    """Silence is samples too; what sends none has gone."""
    with ServerProcess(models, socket_idle_s=0.3) as server, live(server) as socket:
        socket.send(json.dumps({"type": "start", "sample_rate": RATE}))
        with pytest.raises(ConnectionClosedOK, match=r"no request came for 0\.3 s"):
            received(socket, "done")


def test_a_session_is_one_of_the_task_and_says_what_it_heard(http: httpx2.Client) -> None:
    """By steps in base64: less than a step of the network, an empty one, and after the end."""
    samples = sound(1.2, 8).tobytes()
    http.post("/sessions", json={"task": "transcribe", "id": "steps"}).raise_for_status()

    def step(seq: int, inputs: object) -> httpx2.Response:
        return http.post("/sessions/steps/steps", json={"seq": seq, "inputs": inputs})

    first = step(1, {"pcm16": text_of(samples[:20])})
    assert first.json()["outputs"][0] == {
        **{"samples": 10, "text": "", "segments": [], "heard": 0, "finished": False}
    }
    assert step(1, {"pcm16": text_of(samples[:20])}).json() == first.json()
    assert step(2, {"pcm16": ""}).json()["step"] == 2
    assert step(3, {"pcm16": text_of(samples[20:]), "finish": True}).json()["outputs"][0]["finished"]
    refused = step(4, {"pcm16": ""})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "inputs")
    wrong = http.post("/sessions", json={"task": "transcribe", "options": {"rate": 11_025}})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "options.rate")


def test_a_rewound_and_a_forked_session_hear_again_what_they_heard(http: httpx2.Client) -> None:
    """What is remembered of outputs goes with the state."""
    samples = sound(2.0, 9).tobytes()
    http.post("/sessions", json={"task": "transcribe", "id": "first"}).raise_for_status()
    url = "/sessions/first"
    http.post(f"{url}/steps", json={"inputs": {"pcm16": text_of(samples[:9000])}}).raise_for_status()
    http.post(f"{url}/snapshots", json={"name": "half"}).raise_for_status()
    state = http.get(f"{url}/state").json()["state"]
    http.post(f"{url}/fork", json={"id": "second"}).raise_for_status()
    http.post("/sessions", json={"id": "third", "state": state}).raise_for_status()
    rest = {"inputs": {"pcm16": text_of(samples[9000:]), "finish": True}}
    expected = http.post(f"{url}/steps", json=rest).json()["outputs"]
    http.post(f"{url}/rewind", json={"to": "half"}).raise_for_status()
    for id in ("first", "second", "third"):
        assert http.post(f"/sessions/{id}/steps", json=rest).json()["outputs"] == expected
    http.post(f"{url}/rewind", json={"to": 0}).raise_for_status()
    again = http.post(f"{url}/steps", json={"inputs": {"pcm16": text_of(samples), "finish": True}}).json()
    whole = http.post("/transcribe", json={"pcm16": text_of(samples), "rate": RATE}).json()["segments"]
    heard = [{k: v for k, v in one.items() if k != "segment"} for one in again["outputs"][0]["segments"]]
    assert heard == whole


def test_a_killed_stream_goes_on_from_its_samples(models: Path, tmp_path: Path) -> None:
    """In the middle of a word, and of a step: the same text, times and confidences."""
    samples = sound(3.0, 10)
    start = json.dumps({"type": "start", "sample_rate": RATE, "session": "call", "model": "tiny-ears"})
    with ServerProcess(models, state_dir=tmp_path) as server, server.client() as http:
        answer = http.post(
            "/transcribe?model=tiny-ears", content=wav(samples), headers={"content-type": "audio/wav"}
        )
        expected = answer.json()["segments"]
        with live(server) as socket:
            socket.send(start)
            received(socket, "ready")
            for first in range(0, 12_345, 100):
                socket.send(samples[first : first + 100].tobytes())
            frames = received(socket, "partial")
            server.kill()
            before = finals(frames)
    with ServerProcess(models, state_dir=tmp_path) as server, live(server) as socket:
        socket.send(start)
        ready = received(socket, "ready")[-1]
        assert frames[-1]["samples"] <= ready["samples"] <= 12_400
        socket.send(samples[ready["samples"] :].tobytes())
        socket.send(json.dumps({"type": "finish"}))
        after = received(socket, "done")
        socket.send(json.dumps({"type": "start", "sample_rate": 16_000, "session": "call"}))
        assert received(socket, "error")[-1]["errors"][0]["field"] == "sample_rate"
    heard = finals(after)
    assert before + heard == expected or heard == expected[len(expected) - len(heard) :]
    assert after[-1]["segments"] == len(expected)


def test_many_live_streams_hear_what_each_hears_alone(server: ServerProcess, http: httpx2.Client) -> None:
    """Sixteen at once, in pieces of forty milliseconds."""
    sounds = [sound(1.0, 20 + index) for index in range(16)]
    found: dict[int, list[dict[str, Any]]] = {}

    def stream(index: int) -> None:
        with live(server) as socket:
            socket.send(json.dumps({"type": "start", "sample_rate": RATE}))
            data = sounds[index].tobytes()
            for first in range(0, len(data), 640):
                socket.send(data[first : first + 640])
            socket.send(json.dumps({"type": "finish"}))
            found[index] = finals(received(socket, "done"))

    threads = [threading.Thread(target=stream, args=(index,)) for index in range(len(sounds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, samples in enumerate(sounds):
        alone = http.post("/transcribe", content=wav(samples), headers={"content-type": "audio/wav"}).json()
        assert found[index] == alone["segments"]
