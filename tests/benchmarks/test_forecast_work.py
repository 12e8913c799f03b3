"""The forecast that all subjects are asked for, and that they really answer it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks import catalogue, step_work, wrk
from benchmarks import forecast_work as work
from benchmarks.forecast import combined
from benchmarks.peer import PEERS, Peer
from benchmarks.stateful_peer import PEERS as STATEFUL
from benchmarks.stateful_peer import StatefulPeer


def test_bodies_differ_and_repeat() -> None:
    """Every subject gets the same series, and no two of them alike."""
    made = work.bodies(8)
    assert len(set(made)) == 8
    assert made == work.bodies(8)
    assert all(len(orjson.loads(body)["values"]) == work.POINTS for body in made)


def test_a_wrong_answer_is_noticed() -> None:
    """One number that is off by more than rounding is found, wherever in the answer it stands."""
    wanted = np.arange(6, dtype=np.float32).reshape(2, 3)
    good = {"a": {"0.1": [0, 3.0], "0.5": [1.0, 4.0]}, "b": [[2.0, 5.0]], "model": "x", "ok": True}
    assert work.differs(orjson.dumps(good), wanted) == 0
    bad = {"a": [0, 1.0, 2.0, 3.0, 4.0, 5.5]}
    assert work.differs(orjson.dumps(bad), wanted) == pytest.approx(0.5)
    with pytest.raises(RuntimeError, match="5 numbers instead of 6"):
        work.differs(orjson.dumps([1, 2, 3, 4, 5]), wanted)
    with pytest.raises(RuntimeError, match="not JSON"):
        work.differs(b"oops", wanted)


def test_the_combined_floor_is_that_of_one_after_the_other() -> None:
    """1,000 a second of each are 500 of both."""
    assert combined(1000, 1000) == 500


def test_raw_loops_run() -> None:
    """On one lane and on two."""
    bundle = work.load()
    assert work.raw(bundle, 2, 0.05) > 0
    assert work.raw(bundle, 2, 0.05, lanes=2) > 0


def test_versions_are_timed_in_turns() -> None:
    """Each by its own rows, on the same series, however short the time is."""
    versions = [work.load(), work.load(work.FIRST)]
    taken = work.micros(versions, 0.0)
    assert len(taken) == 2
    assert min(taken) > 0


@pytest.mark.parametrize("peer", [*catalogue.NAIVE[:1], *catalogue.OTHERS], ids=lambda peer: peer.folder)
async def test_a_peer_answers_the_same_forecast(peer: Peer, tmp_path: Path) -> None:
    """Started as it is measured, its first answer has the numbers of bare ONNX Runtime."""
    if not peer.installed:
        pytest.skip(f"{peer.name} is not installed (make bench-peers)")
    bundle = work.load()
    model = work.export_plain(bundle, tmp_path / "model")
    subject, _, answer = await peer.start(model, work.bodies(1)[0])
    subject.end()
    wanted = work.expected(bundle)
    assert work.differs(answer, wanted) < 1e-4 * abs(wanted).max()


@pytest.mark.parametrize("peer", STATEFUL, ids=lambda peer: peer.name)
async def test_a_stateful_peer_keeps_state(peer: StatefulPeer, tmp_path: Path) -> None:
    """Events of several sessions are answered without a failure."""
    if not peer.installed:
        pytest.skip(f"{peer.name} is not installed (make bench-peers)")
    from app.bundle.reader import read_bundle
    from benchmarks import bundle as bundles

    loaded = read_bundle(bundles.write_bundle(tmp_path / "models", hidden=16))
    subject, url = await peer.start(step_work.export_plain(loaded, tmp_path / "model"))
    with subject:
        record = await peer.drive(url, 4, 0.3)
    assert record.answered > 0
    assert not record.failures


@pytest.mark.parametrize("peer", catalogue.OTHERS, ids=lambda peer: peer.folder)
def test_every_peer_says_what_it_needs(peer: Peer) -> None:
    """Requirements with bounds, so that a run can be repeated."""
    lines = (PEERS / peer.folder / "requirements.txt").read_text().splitlines()
    needed = [line for line in lines if line and not line.startswith("#")]
    assert any(line.startswith("onnxruntime==") for line in needed)
    assert all(any(sign in line for sign in ("==", "<")) for line in needed), needed
    assert peer.tuning is not None


async def test_wrk_measures_and_refuses_a_server_that_only_fails(tmp_path: Path) -> None:
    """Requests, latencies in order, and an error where every answer is one."""
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed (apt install wrk)")
    subject, url, _ = await catalogue.NOOP.start(tmp_path, b"{}")
    with subject:
        closed = await wrk.closed(url, [b"{}"], 2, 1)
        assert closed.requests > 10
        assert closed.wrong == closed.lost == 0
        assert 0 < closed.p50 <= closed.p90 <= closed.p99
    naive, url, _ = await catalogue.NAIVE[0].start(
        work.export_plain(work.load(), tmp_path / "model"), work.bodies(1)[0]
    )
    with naive, pytest.raises(RuntimeError, match="gave no good answer"):
        await wrk.closed(url, [b'{"values": "nonsense"}'], 1, 1)
