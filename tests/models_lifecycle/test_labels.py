"""Labels and shares: which version a request gets, on a real server and in the catalog alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.context import REQUEST, RequestContext, position_of
from app.core.errors import InvalidManifest
from app.registry.labels import read_labels, write_labels
from app.service.catalog import Catalog, Deployment, Label, choose_defaults
from tests.e2e.server import ServerProcess
from tests.models_lifecycle.shelf import ASK, Shelf, entry, states, text_of, until

POLL = {"models_poll_s": 0.2}


def deployment(name: str, version: str, task: str = "generate") -> Deployment:
    """One that is never asked anything."""
    reference = f"{name}@{version}"
    manifest: Any = SimpleNamespace(name=name, version=version, reference=reference, task=task, networks="")
    nothing: Any = None
    return Deployment(manifest, nothing, nothing, nothing)


def catalog(labels: dict[str, Label], *versions: str) -> Catalog:
    """Of versions of ``text``."""
    return Catalog([deployment("text", one) for one in versions], {"generate": "text"}, {"text": labels})


def found(one: Catalog, wanted: str, key: str = "k") -> str | None:
    """Which version a request with this key gets."""
    REQUEST.set(RequestContext("id", None, key))
    answer = one.find(wanted)
    return None if answer is None else answer.manifest.reference


def test_a_name_is_stable_or_else_the_newest_that_is_not_on_trial() -> None:
    """And a label is a name for one version."""
    assert found(catalog({}, "1", "2"), "text") == "text@2"
    pinned = catalog({"stable": Label("1"), "old": Label("1")}, "1", "2")
    assert found(pinned, "text") == "text@1"
    assert found(pinned, "text@stable") == "text@1"
    assert found(pinned, "text@2") == "text@2"
    assert pinned.labels("text@1") == ("old", "stable")
    assert found(pinned, "text@canary") is None
    trial = catalog({"canary": Label("3", 0.1)}, "1", "2", "3")
    assert trial.base("text").manifest.reference == "text@2"  # type: ignore[union-attr]  # there is one
    assert catalog({"canary": Label("9", 0.5)}, "1", "2").defaults == {"generate": "text@2"}


@given(st.floats(0, 1), st.floats(0, 1), st.text(max_size=20))
def test_a_share_that_grows_keeps_the_keys_it_has(one: float, other: float, key: str) -> None:
    """So that a client does not go back and forth while a version is rolled out."""
    small, large = sorted((one, other))

    def side(share: float) -> str | None:
        return found(catalog({"stable": Label("1"), "canary": Label("2", share)}, "1", "2"), "text", key)

    if side(small) == "text@2":
        assert side(large) == "text@2"
    assert side(large) in ("text@1", "text@2")


@given(st.lists(st.floats(0, 0.33), min_size=1, max_size=3))
def test_the_traffic_of_all_versions_is_the_whole(shares: list[float]) -> None:
    """Whatever the labels."""
    labels = {f"l{index}": Label(str(index + 2), share) for index, share in enumerate(shares)}
    one = catalog(labels, "1", "2", "3", "4")
    total = sum(one.traffic(member) for member in one.deployments.values())
    assert total == pytest.approx(1, abs=1e-6)
    for index, share in enumerate(shares):
        if share:
            assert one.traffic(one.deployments[f"text@{index + 2}"]) == pytest.approx(share, abs=1e-6)


def test_keys_are_spread_evenly_and_differently_for_each_model() -> None:
    """A tenth of many keys is a tenth of them, and not the same tenth for every model."""
    keys = [str(number) for number in range(20_000)]
    one, other = ({key for key in keys if position_of(name, key) < 0.1} for name in ("text", "mood"))
    # Ten standard deviations of a binomial count.
    assert abs(len(one) - 2000) < 10 * (20_000 * 0.1 * 0.9) ** 0.5
    assert abs(len(one & other) - 200) < 10 * (20_000 * 0.01 * 0.99) ** 0.5


def test_defaults_may_name_a_label() -> None:
    """And fall to the first name when nobody has it."""
    members = [deployment("text", "1"), deployment("text", "2"), deployment("a", "1")]
    labels = {"text": {"stable": Label("1")}}
    chosen = choose_defaults(members, {"generate": "text@stable"}, labels)
    assert Catalog(members, chosen, labels).defaults == {"generate": "text@1"}
    assert choose_defaults(members, {"generate": "text@nobody"}, labels) == {"generate": "a"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "Invalid JSON"),
        ("[]", "object"),
        ('{"canary": {"version": "1", "share": 1.5}}', "canary.share"),
        ('{"canary": {"version": "../1"}}', "canary.version"),
        ('{"canary": {"version": "1", "part": 1}}', "canary.part"),
        ('{"Canary": {"version": "1"}}', "Canary"),
        ('{"stable": {"version": "1", "share": 0.5}}', "'stable' has no share of its own"),
        ('{"a": {"version": "1", "share": 0.6}, "b": {"version": "1", "share": 0.6}}', "add up to 1.2"),
    ],
)
def test_malformed_labels_are_refused_with_the_field(tmp_path: Path, text: str, problem: str) -> None:
    """Whoever wrote them."""
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(InvalidManifest, match=problem):
        read_labels(tmp_path)


def test_labels_are_written_as_they_are_read(tmp_path: Path) -> None:
    """And a write that is refused leaves the old ones."""
    labels = {"stable": Label("1"), "canary": Label("2", 0.05)}
    write_labels(tmp_path, labels)
    assert read_labels(tmp_path) == labels
    with pytest.raises(InvalidManifest, match="add up"):
        write_labels(tmp_path, labels | {"beta": Label("2", 0.97)})
    assert read_labels(tmp_path) == labels
    assert [path.name for path in tmp_path.iterdir()] == ["labels.json"]


def test_a_server_splits_requests_by_their_key(shelf: Shelf, models: Path) -> None:
    """By the request's id, or by the header that keeps a client on one side; answers name the version."""
    shelf.put(models, "text", "2")
    write_labels(models / "text", {"stable": Label("1"), "canary": Label("2", 0.3)})
    ids = [f"request-{number}" for number in range(60)]
    expected = {one: "text@2" if position_of("text", one) < 0.3 else "text@1" for one in ids}
    assert len(set(expected.values())) == 2
    with ServerProcess(models, **POLL) as server, server.client() as client:

        def answered(headers: dict[str, str], **more: object) -> str:
            answer = client.post("/generate", json=ASK | {"max_tokens": 1} | more, headers=headers)
            return str(answer.json()["model"])

        for name in (None, "text"):
            more = {} if name is None else {"model": name}
            assert {one: answered({"x-request-id": one}, **more) for one in ids} == expected
        assert {one: answered({"x-routing-key": one, "x-request-id": "same"}) for one in ids} == expected
        assert {answered({"x-routing-key": one}, model="text@stable") for one in ids} == {"text@1"}
        assert {answered({"x-routing-key": one}, model="text@canary") for one in ids} == {"text@2"}
        drawn = Counter(answered({}) for _ in range(100))
        assert set(drawn) == {"text@1", "text@2"}
        for one in ids[:8]:
            opened = client.post("/sessions", json={"task": "generate"}, headers={"x-routing-key": one})
            assert opened.json()["model"] == expected[one]
        pinned = client.post("/sessions", json={"model": "text@canary"})
        assert pinned.json()["model"] == "text@2"
        listed = entry(client, "text@2")
        assert (listed["labels"], listed["traffic"], listed["default"]) == (["canary"], 0.3, False)
        assert entry(client, "text@1")["traffic"] == 0.7
        assert entry(client, "text@1")["default"] is True


def test_a_stream_is_resumed_on_the_version_that_began_it(shelf: Shelf, models: Path) -> None:
    """Though its request comes back under another key, and the name means another version by now."""
    with ServerProcess(models, **POLL) as server, server.client() as client:
        body = ASK | {"stream": True, "max_tokens": 40}

        def events(headers: dict[str, str]) -> list[tuple[str, str]]:
            answer = client.post("/generate", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            parts = [part.split("\n") for part in answer.text.strip().split("\n\n")]
            fields = [dict(line.split(": ", 1) for line in part if ": " in line) for part in parts]
            return [(one["id"], one["data"]) for one in fields if "id" in one]

        first = events({})
        assert '"model":"text@1"' in first[-1][1]
        shelf.put(models, "text", "2")
        until(lambda: text_of(client)[0] == "text@2", "the switch", server=server)
        rest = events({"last-event-id": first[0][0]})
        assert '"model":"text@1"' in rest[-1][1]
        assert rest[-1] == first[-1]


def test_labels_change_while_serving_and_wait_for_their_version(shelf: Shelf, models: Path) -> None:
    """A label whose new version cannot be served stays on the old one; malformed labels change nothing."""
    shelf.put(models, "text", "2")
    write_labels(models / "text", {"stable": Label("1")})
    with ServerProcess(models, **POLL) as server, server.client() as client:
        assert text_of(client)[0] == "text@1"
        write_labels(models / "text", {"stable": Label("3")})
        bad = shelf.put(models, "text", "3")
        (bad / "model.onnx").write_bytes(b"not a graph")
        until(lambda: states(client).get("text@3") == "broken", "the refusal", server=server)
        assert text_of(client)[0] == "text@1"
        assert text_of(client, "text@stable")[0] == "text@1"
        (models / "text" / "labels.json").write_text("{")
        server.wait_for_log("labels.json")
        assert text_of(client)[0] == "text@1"
        write_labels(models / "text", {"stable": Label("2")})
        until(lambda: text_of(client)[0] == "text@2", "the new label", server=server)
