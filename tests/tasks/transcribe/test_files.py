"""Sound files of every kind, hostile ones among them, and what the openai client sends."""

from __future__ import annotations

import io
import struct

import httpx2
import numpy as np
import openai
import pytest
import soundfile

from app.tasks.transcribe.audio import read_sound
from tests.e2e.server import ServerProcess
from tests.tasks.transcribe.sounds import RATE, sound, text_of, wav


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
