"""Segments of words as answers: JSON, text, and subtitles."""

from __future__ import annotations

from app.tasks.transcribe.ctc import Segment
from app.tasks.transcribe.schema import SegmentAnswer, Transcript, WordAnswer

_DECIMALS = 4


def segment_answer(segment: Segment, step_s: float, *, words: bool = True) -> SegmentAnswer:
    told = [
        WordAnswer(
            word=word.text,
            start=round(word.first * step_s, _DECIMALS),
            end=round((word.last + 1) * step_s, _DECIMALS),
            confidence=round(word.confidence, _DECIMALS),
        )
        for word in segment
    ]
    mean = sum(word.confidence for word in segment) / len(segment)
    return SegmentAnswer(
        text=text_of(segment),
        start=told[0].start,
        end=told[-1].end,
        confidence=round(mean, _DECIMALS),
        words=told if words else None,
    )


def text_of(segment: Segment) -> str:
    return " ".join(word.text for word in segment)


def as_text(answer: Transcript) -> bytes:
    return f"{answer.text}\n".encode()


def as_srt(answer: Transcript) -> bytes:
    """SubRip: numbered, with a comma before the milliseconds."""
    parts = [
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.text}\n\n"
        for number, segment in enumerate(answer.segments, 1)
    ]
    return "".join(parts).encode()


def as_vtt(answer: Transcript) -> bytes:
    """WebVTT of the W3C."""
    parts = [
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{_escaped(segment.text)}\n\n"
        for segment in answer.segments
    ]
    return ("WEBVTT\n\n" + "".join(parts)).encode()


def _clock(seconds: float, point: str) -> str:
    whole = round(seconds * 1000)
    minutes, milliseconds = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
