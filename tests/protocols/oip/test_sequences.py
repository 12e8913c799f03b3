"""Triton's sequences on a real server: what they answer, how they begin and end, and whose they are."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient as Client
from tritonclient.utils import InferenceServerException

from tests.e2e.server import ServerProcess
from tests.protocols.oip.inputs import numbers, texts, words

VALUES = np.array([112, 118, 132.5, np.nan, 121, 135, 148, 148, 0.1, 1e6], np.float32)
STEPS = ("step_forecast", "step_quantile", "step_anomaly_score")
_ids = itertools.count(1000)


@pytest.fixture
def number() -> int:
    """A sequence id that no other test has."""
    return next(_ids)


def wholes(client: Client, model: str, given: Any, names: tuple[str, ...], **more: Any) -> list[NDArray[Any]]:
    """The outputs of a request by itself."""
    outputs = [triton.InferRequestedOutput(name) for name in names]
    got = client.infer(model, [given], outputs=outputs, **more)
    return [got.as_numpy(name) for name in names]


def refused(client: Client, *args: Any, **more: Any) -> str:
    """The message of a request that is refused with 400."""
    with pytest.raises(InferenceServerException) as raised:
        client.infer(*args, **more)
    assert raised.value.status() == "400", raised.value
    return str(raised.value.message())


@pytest.mark.parametrize("sequence", [2**64 - 1, "boiler 7/é", "plain-id"])
@pytest.mark.parametrize("binary", [True, False])
def test_a_sequence_answers_as_a_session_and_as_the_whole_series(
    client: Client, native: httpx2.Client, sequence: int | str, binary: bool
) -> None:
    """Value by value, then several at a time: bit for bit what the session's steps and the series give."""
    parts = [VALUES[:1], VALUES[1:2], VALUES[2:3], VALUES[3:7], VALUES[7:]]
    options = {"freq": "h", "season": 12}
    found = [
        client.infer(
            "single",
            [numbers(part[None], binary=binary)],
            sequence_id=sequence,
            sequence_start=place == 0,
            sequence_end=place == len(parts) - 1,
            parameters=options if place == 0 else None,
        )
        for place, part in enumerate(parts)
    ]
    whole = wholes(client, "single", numbers(VALUES[None]), ("mean", "quantiles", *STEPS), parameters=options)
    for name, expected in zip(STEPS, whole[2:], strict=True):
        joined = np.concatenate([one.as_numpy(name) for one in found], axis=1)
        assert np.array_equal(joined, expected, equal_nan=True), name
        assert joined.shape[:2] == (1, len(VALUES))
    for name, expected in zip(("mean", "quantiles"), whole[:2], strict=True):
        assert np.array_equal(found[-1].as_numpy(name), expected), name

    session = native.post("/sessions", json={"model": "single", "options": options}).json()["id"]
    inputs = [None if np.isnan(value) else float(value) for value in VALUES]
    outputs = native.post(f"/sessions/{session}/steps", json={"inputs": inputs}).json()["outputs"]
    scores = np.array([[one["anomaly_score"] for one in outputs]], np.float32)
    assert np.array_equal(whole[4], scores, equal_nan=True)
    forecasts = np.array([[list(one["forecast"].values()) for one in outputs[1:]]], np.float32)
    assert np.array_equal(whole[2][:, 1:], forecasts)
    assert np.isnan(whole[2][0, 0]).all()


@pytest.mark.parametrize("tokens", [True, False])
def test_a_text_is_judged_as_it_is_read(client: Client, number: int, tokens: bool) -> None:
    """Token by token, by ids or by words, the verdict is that of the text so far."""
    text = ["a", " good", " film", " not", " bad"]
    (scores, labels, ids) = wholes(
        client, "mood", texts("".join(text)), ("step_scores", "step_label", "step_token")
    )
    assert ids.shape == (1, len(text))
    vocabulary = np.arange(10)[None]
    names = words(
        wholes(client, "mood", numbers(vocabulary, name="tokens", datatype="INT64"), ("step_token",))[0]
    )
    for place, word in enumerate(text):
        given = texts(word)
        if tokens and word.strip() in names:
            given = numbers([[names.index(word.strip())]], name="tokens", datatype="INT32")
        got = client.infer("mood", [given], sequence_id=number, sequence_start=place == 0)
        assert np.array_equal(got.as_numpy("scores"), scores[:, place])
        assert words(got.as_numpy("label")) == words(labels[:, place])
        assert np.array_equal(got.as_numpy("step_scores"), scores[:, place : place + 1])


def test_a_generator_is_fed_and_then_goes_on(client: Client, native: httpx2.Client, number: int) -> None:
    """Fed text has log-probabilities; a text that is asked for is what a prompt of all of it gives."""
    first = client.infer("text", [texts("a good", name="prompt")], sequence_id=number, sequence_start=True)
    rest = client.infer("text", [texts(" film", name="prompt")], sequence_id=number)
    names = ("step_token", "step_id", "step_logprob")
    whole = wholes(client, "text", texts("a good film", name="prompt"), names)
    for name, expected in zip(names, whole, strict=True):
        joined = np.concatenate([first.as_numpy(name), rest.as_numpy(name)], axis=1)
        assert words(joined) == words(expected)
    asked = {"max_tokens": 12, "seed": 3}
    said = client.infer("text", [texts(".", name="prompt")], sequence_id=number, parameters=asked)
    prompt = {"prompt": "a good film.", "model": "text"}
    expected_text = native.post("/generate", json=asked | prompt).json()["choices"][0]["text"]
    assert words(said.as_numpy("text")) == [expected_text]
    # What was generated is part of the sequence: the next text is that of a longer prompt.
    more = client.infer("text", [texts("", name="prompt")], sequence_id=number, parameters=asked)
    prompt["prompt"] += expected_text
    assert words(more.as_numpy("text")) == [
        native.post("/generate", json=asked | prompt).json()["choices"][0]["text"]
    ]
    assert "either the outputs step_" in refused(
        client,
        "text",
        [texts("a", name="prompt")],
        sequence_id=number,
        outputs=[triton.InferRequestedOutput("text"), triton.InferRequestedOutput("step_id")],
    )


def test_a_start_ends_what_had_its_id(client: Client, number: int) -> None:
    """The second start answers as the first did; one that is refused leaves the old sequence."""
    given = [numbers([[5.0, 7.0]])]
    once = client.infer("single", given, sequence_id=number, sequence_start=True)
    client.infer("single", [numbers([[9.0]])], sequence_id=number)
    again = client.infer("single", given, sequence_id=number, sequence_start=True)
    assert np.array_equal(again.as_numpy("quantiles"), once.as_numpy("quantiles"))
    further = client.infer("single", [numbers([[9.0]])], sequence_id=number)
    many = [numbers(np.ones((1, 1001)))]
    assert "1000 steps" in refused(client, "single", many, sequence_id=number, sequence_start=True)
    assert "freq" in refused(
        client, "single", given, sequence_id=number, sequence_start=True, parameters={"freq": "never"}
    )
    assert "1 to 12 steps ahead" in refused(
        client, "single", given, sequence_id=number, sequence_start=True, parameters={"horizon": 99}
    )
    last = client.infer("single", [numbers([[9.0]])], sequence_id=number)
    anew = client.infer("single", [numbers([[5.0, 7.0, 9.0, 9.0]])], sequence_id=number, sequence_start=True)
    assert np.array_equal(last.as_numpy("quantiles"), anew.as_numpy("quantiles"))
    assert not np.array_equal(further.as_numpy("quantiles"), last.as_numpy("quantiles"))


def test_what_has_not_begun_or_has_ended_needs_a_start(client: Client, number: int) -> None:
    """In Triton's words, with 400; a sequence of one request may start and end at once."""
    given = [numbers([[1.0]])]
    words_of_triton = (
        f"inference request for sequence {number} to model 'single' must specify the START flag "
        "on the first request of the sequence"
    )
    assert refused(client, "single", given, sequence_id=number) == words_of_triton
    client.infer("single", given, sequence_id=number, sequence_start=True, sequence_end=True)
    assert refused(client, "single", given, sequence_id=number) == words_of_triton
    client.infer("single", given, sequence_id=number, sequence_start=True)
    client.infer("single", given, sequence_id=number, sequence_end=True)
    assert refused(client, "single", given, sequence_id=number, sequence_end=True) == words_of_triton


def test_ids_name_different_sequences(client: Client, native: httpx2.Client, number: int) -> None:
    """A number, the text of the same digits, and the same number at another model are three."""
    client.infer("single", [numbers([[1.0]])], sequence_id=number, sequence_start=True)
    for model, sequence in (("single", str(number)), ("series", number)):
        assert "START flag" in refused(client, model, [numbers([[1.0]])], sequence_id=sequence)
    session = native.get(f"/sessions/v2.single.n.{number}").json()
    assert (session["model"], session["step"]) == ("single@1", 1)


@pytest.mark.parametrize("none", [0, ""])
def test_no_id_is_no_sequence(native: httpx2.Client, none: int | str) -> None:
    """0 and the empty text name none, so nothing can start or end."""
    body = {
        "inputs": [{"name": "values", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}],
        "parameters": {"sequence_id": none},
    }
    assert native.post("/v2/models/single/infer", json=body).status_code == 200
    body["parameters"] = {"sequence_id": none, "sequence_start": True}
    answer = native.post("/v2/models/single/infer", json=body)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "inference request to model 'single' must specify a non-zero or non-empty correlation ID"
    }


@pytest.mark.parametrize("wrong", [-1, 2**64, 1.5, True, None, ["a"], "x" * 129])
def test_what_names_no_sequence_is_refused(native: httpx2.Client, wrong: Any) -> None:
    """With what would."""
    body = {
        "inputs": [{"name": "values", "shape": [1, 1], "datatype": "FP32", "data": [1]}],
        "parameters": {"sequence_id": wrong, "sequence_start": True},
    }
    answer = native.post("/v2/models/single/infer", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("sequence_id: ")


def test_a_sequence_stays_on_its_version(client: Client, number: int) -> None:
    """Where it began; asking another version to go on is refused."""
    given = [numbers([[3.0, 4.0]])]
    began = client.infer("series", given, sequence_id=number, sequence_start=True, model_version="1")
    assert began.get_response()["model_version"] == "1"
    went_on = client.infer("series", given, sequence_id=number)
    assert went_on.get_response()["model_version"] == "1"
    assert "is on series@1" in refused(client, "series", given, sequence_id=number, model_version="2")
    newest = client.infer("series", given, sequence_id=f"{number}", sequence_start=True)
    assert newest.get_response()["model_version"] == "2"
    assert "START flag" in refused(client, "series", given, sequence_id=number + 10_000)


async def test_requests_of_one_sequence_wait_for_their_turn(server: ServerProcess, number: int) -> None:
    """Many in flight at once are each applied once, none is refused."""
    values = np.arange(40, dtype=np.float32)
    async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        await client.infer("single", [numbers(values[:1])], sequence_id=number, sequence_start=True)
        flying = [client.infer("single", [numbers([[value]])], sequence_id=number) for value in values[1:]]
        found = await asyncio.gather(*flying)
        assert len({one.as_numpy("quantiles").tobytes() for one in found}) == len(flying)
    with server.client() as native:
        assert native.get(f"/sessions/v2.single.n.{number}").json()["step"] == len(values)


def test_a_batch_of_a_sequence_is_one(client: Client, number: int) -> None:
    """Two rows are no step of one sequence."""
    assert "batch of 1, not of 2" in refused(
        client, "single", [numbers([[1.0], [2.0]])], sequence_id=number, sequence_start=True
    )


def test_a_sequence_goes_on_at_another_process(oip_models: Path, tmp_path: Path) -> None:
    """It is in the store: a second server, and the first one after a kill, go on with it."""
    values = VALUES[:6]
    with ServerProcess(oip_models, state_dir=tmp_path) as one:
        two = ServerProcess(oip_models, state_dir=tmp_path)
        two.wait_until_ready()
        with (
            triton.InferenceServerClient(f"127.0.0.1:{one.port}") as first,
            triton.InferenceServerClient(f"127.0.0.1:{two.port}") as second,
        ):
            first.infer("single", [numbers(values[:2])], sequence_id="moving", sequence_start=True)
            second.infer("single", [numbers(values[2:4])], sequence_id="moving")
            two.kill()
            last = first.infer("single", [numbers(values[4:])], sequence_id="moving", sequence_end=True)
            whole = first.infer("single", [numbers(values)])
            assert np.array_equal(last.as_numpy("quantiles"), whole.as_numpy("quantiles"))


def test_without_sessions_there_are_no_sequences(oip_models: Path) -> None:
    """The server says so in its extensions and in the answer; inference works."""
    with (
        ServerProcess(oip_models, sessions="off") as process,
        triton.InferenceServerClient(f"127.0.0.1:{process.port}") as client,
    ):
        assert "sequence" not in client.get_server_metadata()["extensions"]
        assert client.infer("single", [numbers(VALUES)]).as_numpy("mean") is not None
        assert "sessions are turned off" in refused(
            client, "single", [numbers(VALUES)], sequence_id=1, sequence_start=True
        )
        names = {one["name"] for one in client.get_model_metadata("single")["outputs"]}
        assert names == {"mean", "quantiles"}
