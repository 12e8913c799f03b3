"""What clients say of a body, and what is read all the same."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from app.tasks.forecast.csv_body import CSV_TYPES

TABLE = b"a\n1\n2\n"
REQUEST = b'{"series": [{"id": "a", "values": [1, 2]}], "horizon": 2}'
UNTOLD = ("", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A form's body and headers, of content dispositions and what they are of."""
    body = b"".join(b"--x\r\n%b\r\n\r\n%b\r\n" % (head.encode(), data) for head, data in parts)
    return body + b"--x--\r\n", {"content-type": 'multipart/form-data; boundary="x"'}


def file(data: bytes = TABLE, name: str = "a.csv", kind: str = "") -> tuple[str, bytes]:
    """One part of a form."""
    told = f"\r\nContent-Type: {kind}" if kind else ""
    return f'Content-Disposition: form-data; name="file"; filename="{name}"{told}', data


def field(name: str, value: str) -> tuple[str, bytes]:
    """Another."""
    return f'Content-Disposition: form-data; name="{name}"', value.encode()


@pytest.fixture
def answer(client: TestClient) -> object:
    """The right one, from a request that leaves no doubt."""
    return client.post("/forecast", content=REQUEST, headers={"content-type": "application/json"}).json()


@pytest.mark.parametrize("kind", [*CSV_TYPES, *UNTOLD, "Text/CSV; charset=utf-8; header=present"])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_a_table_is_read_under_each_name(client: TestClient, answer: object, kind: str, ends: bytes) -> None:
    """Those for CSV, and those of clients that do not know what they send."""
    found = client.post(
        "/forecast?horizon=2",
        content=TABLE.replace(b"\n", ends),
        headers={"content-type": kind} if kind else {},
    )
    assert found.json() == answer


@pytest.mark.parametrize("kind", [*CSV_TYPES, "", "application/octet-stream"])
@pytest.mark.parametrize("where", ["query", "form"])
def test_a_table_in_a_form_is_read(client: TestClient, answer: object, kind: str, where: str) -> None:
    """With the parameters in the query, or as fields beside the file."""
    body, headers = form(file(kind=kind), *([field("horizon", "2")] if where == "form" else []))
    query = "?horizon=2" if where == "query" else ""
    assert client.post(f"/forecast{query}", content=body, headers=headers).json() == answer


def test_a_request_in_a_form_is_read(client: TestClient, answer: object) -> None:
    """A file of JSON."""
    body, headers = form(file(REQUEST, "a.json", "application/json"))
    assert client.post("/forecast", content=body, headers=headers).json() == answer


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_read_in_each_encoding_of_unicode(client: TestClient, encoding: str) -> None:
    """With and without a mark, on the native routes and those of other protocols."""
    for path, request in (
        ("/sentiment", {"text": "été"}),
        ("/generate", {"prompt": "é", "max_tokens": 1}),
    ):
        text = json.dumps(request, ensure_ascii=False)
        plain = client.post(path, content=text)
        found = client.post(path, content=text.encode(encoding), headers={"content-type": "application/json"})
        assert plain.status_code == found.status_code == 200
        assert found.json() == plain.json()


@pytest.mark.parametrize(
    ("body", "kind", "field", "says"),
    [
        (TABLE, "application/json", "body", "content-type text/csv"),
        (b"a1,2", "", "body", "--data-binary"),
        (b"hello", "text/plain", "body", "the body is not JSON"),
        (REQUEST, "", "horizon", "with a JSON body, horizon belongs into the body"),
        (TABLE, "application/xml", "content-type", "application/json, text/csv"),
        (b'{"text": "\xe9"}', "application/json", "horizon", "belongs into the body"),
        (b"PK\x03\x04\x00\n\x00\n", "application/vnd.ms-excel", "body", "a spreadsheet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\n\x00", "application/vnd.ms-excel", "body", "a spreadsheet"),
        (b"--y\r\n", "multipart/form-data", "content-type", "boundary"),
        (b"no parts", "multipart/form-data; boundary=x", "body", "multipart/form-data"),
        (b"--x\r\n", "multipart/form-data; boundary=x", "body", "last boundary is missing"),
    ],
)
def test_what_is_not_read_is_told_what_is(
    client: TestClient, body: bytes, kind: str, field: str, says: str
) -> None:
    """By its field, and in words that help."""
    found = client.post("/forecast?horizon=2", content=body, headers={"content-type": kind} if kind else {})
    assert found.status_code in (415, 422)
    (error,) = found.json()["errors"]
    assert error["field"] == field
    assert says in error["message"]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([field("horizon", "2")], "the form has 0 files"),
        ([file(), file()], "the form has 2 files"),
        ([file(), field("horizon", "2"), field("horizon", "3")], "given twice"),
        ([file(REQUEST, kind="application/json"), field("horizon", "2")], "belongs into the body"),
        ([file(), field("nothing", "2")], "unknown field"),
        ([file()] * 65, "more than 64 parts"),
    ],
)
def test_a_form_that_is_not_one_file_is_refused(
    client: TestClient, parts: list[tuple[str, bytes]], says: str
) -> None:
    """Each with its reason, and nothing in the log."""
    body, headers = form(*parts)
    found = client.post("/forecast", content=body, headers=headers)
    assert found.status_code == 422
    assert says in found.json()["detail"] + str(found.json()["errors"])


@pytest.mark.parametrize(
    ("body", "says"),
    [('{"text": "été"}'.encode("latin-1"), "JSON is written in UTF-8"), (b"\xff\xfe{", "begins like utf-16")],
)
def test_json_in_another_encoding_says_so(client: TestClient, body: bytes, says: str) -> None:
    """The commonest reason for a broken letter."""
    assert says in client.post("/sentiment", content=body).json()["detail"]
