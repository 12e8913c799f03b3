"""Bundles whose sums are right and whose content is not: one sentence in the log, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from app.bundle import reader
from app.runtime import verify
from tests.bundles import tiny_generator
from tests.e2e.server import ServerProcess
from tests.models_lifecycle.shelf import states, text_of, until
from tests.registry.test_registry import opened, references

# Good for about ever.
_ROUNDS = 2**62


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of one model."""
    folder = tmp_path_factory.mktemp("good")
    for version in ("1", "2"):
        tiny_generator(folder, name="text", version=version)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    return shutil.copytree(good, tmp_path / "models")


def seal(bundle: Path, name: str, data: bytes) -> None:
    """Write a file and its sum."""
    (bundle / name).write_bytes(data)
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(manifest))


def pipe(name: str) -> Callable[[Path], None]:
    """Put a pipe that nobody writes to in a file's place."""

    def put(bundle: Path) -> None:
        (bundle / name).unlink()
        os.mkfifo(bundle / name)

    return put


def vectors(**changed: object) -> Callable[[Path], None]:
    """Other arrays than the exporter's; ``None`` leaves one out."""

    def put(bundle: Path) -> None:
        with np.load(bundle / "vectors.npz") as arrays:
            kept = dict(arrays)
        kept |= changed
        data = io.BytesIO()
        np.savez(data, **{name: value for name, value in kept.items() if value is not None})
        seal(bundle, "vectors.npz", data.getvalue())

    return put


def unpacks_to_much(bundle: Path) -> None:
    """A small file with many zeros in it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("start.npy", bytes(reader.MAX_VECTORS_BYTES + 1))
    seal(bundle, "vectors.npz", data.getvalue())


def is_large(bundle: Path) -> None:
    """A sparse file."""
    with (bundle / "vectors.npz").open("wb") as file:
        file.truncate(reader.MAX_VECTORS_BYTES + 1)


def never_ends(bundle: Path) -> None:
    """A loop before the graph's state_out."""
    model = onnx.load_from_string((bundle / "model.onnx").read_bytes())
    (last,) = [node for node in model.graph.node if "state_out" in node.output]
    last.output[list(last.output).index("state_out")] = "early"
    step = [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])]
    body = helper.make_graph(
        step,
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    model.graph.initializer.append(helper.make_tensor("rounds", TensorProto.INT64, [], [_ROUNDS]))
    model.graph.initializer.append(helper.make_tensor("true", TensorProto.BOOL, [], [True]))
    model.graph.node.append(helper.make_node("Loop", ["rounds", "true", "early"], ["state_out"], body=body))
    seal(bundle, "model.onnx", model.SerializeToString())


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe as vectors": (pipe("vectors.npz"), "cannot read vectors.npz: it is no regular file"),
    "pipe as graph": (pipe("model.onnx"), "cannot read model.onnx: it is no regular file"),
    "pipe as manifest": (pipe("manifest.json"), "cannot read manifest.json: it is no regular file"),
    "large vectors": (is_large, "cannot read vectors.npz: it is larger than"),
    "vectors that unpack to much": (unpacks_to_much, "vectors.npz cannot be read: it unpacks to more than"),
    "no zip": (lambda b: seal(b, "vectors.npz", b"nothing"), "vectors.npz cannot be read"),
    "half a zip": (
        lambda b: seal(b, "vectors.npz", (b / "vectors.npz").read_bytes()[:-30]),
        "vectors.npz cannot be read",
    ),
    "no numbers": (vectors(start=np.array(["a"])), "vectors.npz cannot be read"),
    "objects": (vectors(start=np.array([{}], object)), "vectors.npz cannot be read"),
    "no steps": (vectors(steps=None), "vectors.npz cannot be read"),
    "steps of another kind": (vectors(steps=np.float32(1)), "steps and outputs must be"),
    "no time": (vectors(steps=np.zeros((2, 0), np.int64)), "steps and outputs must be"),
    "another state": (vectors(state_out=np.zeros((1, 1), np.float32)), "state_out must be"),
    "no text": (lambda b: seal(b, "tokenizer.json", b"\xff\xfe"), "tokenizer.json cannot be read"),
    "no tokenizer": (lambda b: seal(b, "tokenizer.json", b"[]"), "tokenizer.json cannot be read"),
    "no graph": (lambda b: seal(b, "model.onnx", b"\xff" * 99), "the graph cannot be read"),
    "another graph": (lambda b: seal(b, "model.onnx", b""), "the graph cannot be loaded"),
    "a graph that never ends": (never_ends, "did not run on its golden vectors within 0.5 s"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_bundle_is_one_sentence_in_the_log(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are served."""
    monkeypatch.setattr(verify, "VERIFY_S", 0.5)
    damage, says = BROKEN[kind]
    damage(folder / "text" / "2")
    with caplog.at_level(logging.INFO):
        assert references(opened(folder, skip_bad=True)) == ["text@1"]
    (record,) = caplog.records
    assert "bundle text/2: " in record.message
    assert says in record.message
    assert "\n" not in record.message.strip()
    assert record.exc_info is None


def test_a_pipe_as_labels_is_read_by_nobody(folder: Path) -> None:
    """The model is served without."""
    os.mkfifo(folder / "text" / "labels.json")
    assert references(opened(folder)) == ["text@1", "text@2"]


@pytest.fixture
def server(folder: Path) -> Iterator[ServerProcess]:
    """Looks often."""
    with ServerProcess(folder, models_poll_s=0.2) as server:
        yield server


@pytest.mark.parametrize("kind", ["pipe as vectors", "vectors that unpack to much", "no text"])
def test_a_server_goes_on_with_what_it_serves(server: ServerProcess, folder: Path, kind: str) -> None:
    """And takes the next version that is good."""
    with server.client() as client:
        damage, says = BROKEN[kind]
        shutil.copytree(folder / "text" / "1", folder / "text" / ".3")
        path = folder / "text" / ".3" / "manifest.json"
        path.write_text(path.read_text().replace('"version": "1"', '"version": "3"'))
        damage(folder / "text" / ".3")
        (folder / "text" / ".3").rename(folder / "text" / "3")
        until(lambda: states(client).get("text@3") == "broken", "the refusal", server=server)
        server.wait_for_log(says)
        assert "Traceback" not in server.log
        assert text_of(client)[0] == "text@2"
        tiny_generator(folder, name="other")
        until(lambda: states(client).get("other@1") == "ready", "the next one", server=server)


def hears_sigterm(pid: int) -> bool:
    """Whether a process has a handler for it."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = re.findall(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("begins", ["serving", "starting"])
def test_a_server_that_verifies_an_endless_graph_ends_when_it_is_told_to(folder: Path, begins: str) -> None:
    """At once, and it answers until then."""
    hidden = folder / "text" / ".never"
    (folder / "text" / "2").rename(hidden)
    never_ends(hidden)
    if begins == "starting":
        hidden.rename(folder / "text" / "2")
    server = ServerProcess(folder, models_poll_s=0.2)
    try:
        if begins == "serving":
            server.wait_until_ready()
            hidden.rename(folder / "text" / "2")
        until(lambda: hears_sigterm(server.pid), "the start", server=server)
        time.sleep(3)
        if begins == "serving":
            with server.client() as client:
                assert text_of(client)[0] == "text@1"
                assert states(client)["text@2"] == "loading"
        told = time.monotonic()
        assert server.stop() == 0, server.log
        assert time.monotonic() - told < 5
    finally:
        server.kill()
