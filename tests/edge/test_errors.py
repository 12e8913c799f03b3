"""Every failure has a status, a title and a type, and the unknown ones tell nothing."""

from __future__ import annotations

import logging

import pytest
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from app.core import errors as tree
from app.core.errors import (
    BundleError,
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    PayloadTooLarge,
    RnnserveError,
    UnknownModel,
    UnsupportedMedia,
)
from app.edge.errors import (
    INTERNAL_DETAIL,
    KINDS,
    MAX_FIELD_ERRORS,
    TYPE_PREFIX,
    describe,
    error_frame,
    kind_of,
    problem_response,
)
from app.tasks.forecast.schema import ForecastRequest
from tests.edge.fake_service import FakeEdge


def every_class(base: type[RnnserveError]) -> list[type[RnnserveError]]:
    """The class and all below it."""
    return [base] + [below for one in base.__subclasses__() for below in every_class(one)]


LEAVES = [kind for kind in every_class(RnnserveError) if not kind.__subclasses__()]
LEAVES.append(tree.SequenceConflict)


def example(kind: type[RnnserveError]) -> RnnserveError:
    """An instance of a class."""
    special: dict[type[RnnserveError], RnnserveError] = {
        InvalidInput: InvalidInput("field", "is wrong", allowed=[1, 2]),
        UnknownModel: UnknownModel("x", ("a@1",)),
        PayloadTooLarge: PayloadTooLarge(10),
        tree.SessionGone: tree.SessionGone("s", "expired", "2024-01-01T00:00:00", 3),
        tree.SequenceConflict: tree.SequenceConflict("late", 3),
        tree.SessionExists: tree.SessionExists("there", 3),
        UnsupportedMedia: UnsupportedMedia("a/b", ("application/json",)),
    }
    return special.get(kind) or kind("a message")


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_leaf_of_the_tree_is_mapped(kind: type[RnnserveError]) -> None:
    """A new error without a line in the map fails here."""
    assert any(base in KINDS for base in kind.__mro__), f"{kind.__name__} has no status"


def test_the_map_names_only_classes_of_the_tree_and_each_slug_has_one_status() -> None:
    """No stale entries; one problem type means one thing."""
    assert set(KINDS) <= set(every_class(RnnserveError))
    statuses: dict[str, set[int]] = {}
    for kind in KINDS.values():
        statuses.setdefault(kind.slug, set()).add(kind.status)
    assert all(len(found) == 1 for found in statuses.values())


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_problem_is_complete(kind: type[RnnserveError]) -> None:
    """Type, title, status, detail and request id are there; a frame has the same."""
    error = example(kind)
    problem = describe(error, "id-1")
    assert problem.type.startswith(TYPE_PREFIX)
    assert problem.status == kind_of(error).status >= 400
    assert problem.title
    assert problem.detail
    assert problem.request_id == "id-1"
    frame = error_frame(error, "id-1")
    assert frame.type == "error"
    assert frame.problem == problem.type
    assert frame.model_dump(exclude={"type", "problem"}) == problem.model_dump(exclude={"type"})


@pytest.mark.parametrize(
    "error",
    [RuntimeError("secret"), KeyError("secret"), BundleError("secret"), tree.ConfigurationError("secret")],
)
def test_an_internal_failure_tells_only_one_sentence_and_the_id(error: Exception) -> None:
    """Whatever the message says stays on this side."""
    response = problem_response(error, "id-1")
    assert response.status_code == 500
    assert b"secret" not in response.body
    assert INTERNAL_DETAIL.encode() in response.body
    assert b'"id-1"' in response.body


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (Overloaded("full"), "1"),
        (Overloaded("full", retry_after_s=2.2), "3"),
        (DeadlineExceeded("late"), "1"),
    ],
)
def test_a_failure_that_passes_says_when_to_come_back(error: RnnserveError, header: str) -> None:
    """Retry-After is in whole seconds, rounded up."""
    assert problem_response(error, "id").headers["retry-after"] == header


def test_a_failure_that_stays_names_no_time() -> None:
    """Sending a wrong request again will not help."""
    assert "retry-after" not in problem_response(InvalidInput("a", "b"), "id").headers


def test_field_errors_carry_path_message_and_limit() -> None:
    """The field is dotted, the limit is machine-readable."""
    with pytest.raises(ValidationError) as caught:
        ForecastRequest.model_validate_json(
            '{"series": [{"values": [1, "x"]}], "horizon": 0, "quantiles": [0.5, 2], "what": 1}'
        )
    listed = {one.field: one for one in describe(caught.value, "id").errors}
    assert listed["series.0.values.1"].message == "input should be a valid number"
    assert listed["horizon"].allowed == {"min": 1}
    assert listed["quantiles.1"].allowed == {"less_than": 1.0}
    assert listed["what"].message == "unknown field"
    assert {"values", "series", "horizon"} <= set(listed["what"].allowed)
    assert "and 3 more" in describe(caught.value, "id").detail


def test_a_long_list_of_mistakes_is_cut() -> None:
    """The answer names the first ones and the count."""
    body = "{" + ",".join(f'"f{index}": 1' for index in range(100)) + "}"
    with pytest.raises(ValidationError) as caught:
        ForecastRequest.model_validate_json(body)
    problem = describe(caught.value, "id")
    assert len(problem.errors) == MAX_FIELD_ERRORS
    assert "more" in problem.detail


def test_other_http_refusals_keep_their_status_and_headers() -> None:
    """What Starlette refuses is a problem of ours as well."""
    response = problem_response(HTTPException(405, headers={"allow": "POST"}), "id")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert problem_response(HTTPException(418), "id").status_code == 418


def test_an_unexpected_failure_is_a_500_and_the_log_has_all_of_it(
    edge: FakeEdge, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets the constant sentence; the log gets the traceback, never the payload."""
    edge.service.error = ZeroDivisionError("the reason")
    with caplog.at_level(logging.ERROR):
        answer = client.post("/sentiment", json={"text": "a private text"})
    assert answer.status_code == 500
    assert answer.json()["detail"] == INTERNAL_DETAIL
    assert "the reason" in caplog.text
    assert "a private text" not in caplog.text


def test_a_failed_run_says_so_and_no_more_is_logged(edge: FakeEdge, client: TestClient) -> None:
    """An error of the tree that is written for callers reaches them as it is."""
    edge.service.error = tree.RunFailed("the output is not finite")
    answer = client.post("/sentiment", json={"text": "a"})
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:rnnserve:problem:run-failed"
    assert answer.json()["detail"] == "the output is not finite"
