"""Which versions are served, look by look."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ParityError
from app.registry.lineup import Judgement, Lineup
from app.registry.look import Found, Look


def look(*versions: str) -> Look:
    """What lies on disk, beside another model that is always there."""
    found = [Found(Path("models/text") / version, ()) for version in versions]
    return Look({one.reference: one for one in [Found(Path("models/mood/1"), ()), *found]}, {}, [])


@pytest.mark.parametrize("good", [True, False])
async def test_a_version_stays_until_what_came_in_its_place_is_judged(
    good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a look saw the old one gone and the new one not yet there; a broken one takes no place."""
    clock = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    line, served = Lineup(0, ()), dict[str, Any]()

    async def judge(found: Found) -> Judgement:
        if found.version == "2" and not good:
            return Judgement(error=ParityError("no"))
        version: Any = found.reference
        return Judgement(version)

    async def at(seconds: float, *versions: str) -> list[str]:
        nonlocal clock, served
        clock, seen = seconds, look(*versions)
        line.see(seen, served)
        served = await line.choose(seen, served, judge)
        return [reference for reference in served if reference.startswith("text")]

    await at(0.0, "1")
    assert await at(2.0, "1") == ["text@1"]
    assert await at(3.0) == ["text@1"]
    assert await at(3.5, "2") == ["text@1"]
    assert await at(4.2, "2") == ["text@1"], "gone for a second, but the next one is not served yet"
    assert await at(4.6, "2") == (["text@1", "text@2"] if good else ["text@1"])
    assert await at(4.8, "2") == (["text@2"] if good else [])
    assert await at(6.0) == (["text@2"] if good else [])
    assert await at(7.1) == [], "nothing came in its place"
