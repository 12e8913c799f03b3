"""The keys file and the ring: what is read, refused, found, and read again."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.access.api_key import digest_of, issue_key, new_key, shown_digest
from app.access.key_file import KeyDefaults, append_entry, read_keys, revoke_entry
from app.access.key_ring import KeyRing
from app.core.errors import ConfigurationError, RateLimited, Unauthenticated


def entry(name: str, key: str, **fields: object) -> str:
    """Lines of a keys file."""
    lines = [f"[keys.{name}]", f'hash = "{shown_digest(key)}"']
    return "\n".join([*lines, *(f"{field} = {value}" for field, value in fields.items()), ""])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the keys are."""
    return tmp_path / "keys.toml"


def rewrite(file: Path, text: str) -> None:
    """Another text, and a time of change of its own whatever the clock's grain."""
    before = file.stat().st_mtime_ns
    file.write_text(text)
    os.utime(file, ns=(before + 1_000_000, before + 1_000_000))


def test_a_fresh_key_is_long_and_its_file_holds_its_hash_alone(file: Path) -> None:
    """256 bits, as 43 characters, and never the same."""
    made = [issue_key("alice") for _ in range(100)]
    assert len({key for key, _ in made}) == 100
    for key, lines in made:
        assert len(key.removeprefix("rnnserve_")) == 43
        assert key not in lines
        assert digest_of(key.encode()).hex() in lines


def test_what_is_issued_can_be_read_and_found(file: Path) -> None:
    """Two names in one file, one of them with dots, made by the command's functions."""
    keys = {}
    for name, role in (("alice", "user"), ("ops.eu-1", "admin")):
        keys[name], lines = issue_key(name, role)  # type: ignore[arg-type]  # one of the two words
        append_entry(file, name, lines)
    assert file.stat().st_mode & 0o077 == 0
    ring = KeyRing(file, KeyDefaults())
    for name, key in keys.items():
        found = ring.find(key.encode())
        assert (found.principal.name, found.principal.admin) == (name, name == "ops.eu-1")
    with pytest.raises(ConfigurationError, match="has 'alice' already"):
        append_entry(file, "alice", lines)
    with pytest.raises(ConfigurationError, match="got 'a b'"):
        issue_key("a b")


@pytest.mark.parametrize("head", ["[keys.alice]", '[keys."alice"]', " [ keys . 'alice' ]", "[keys.alice]#x"])
def test_what_is_revoked_goes_and_the_rest_stays_as_it_is_written(file: Path, head: str) -> None:
    """Comments, other names and rights of the file."""
    first, last = (
        entry("bob", new_key()),
        f"\n# of all\n{entry('carol.x', new_key())}".replace("carol.x", '"carol.x"'),
    )
    file.write_text(f"# mine\n{first}\n{head}\nhash = [\n  {shown_digest(new_key())!r},\n]\n\n{last}")
    file.chmod(0o640)
    revoke_entry(file, "alice")
    assert file.read_text() == f"# mine\n{first}\n\n{last}"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_only_a_person_can_take_out_is_left(file: Path) -> None:
    """And nothing is lost."""
    text = f'keys = {{ alice = {{ hash = "{shown_digest(new_key())}" }} }}\n'
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="by hand"):
        revoke_entry(file, "alice")
    assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "wrong",
    [b"", b"rnnserve_", b"x" * 10_000, b"\xff\xfe", b"rnnserve_" + b"A" * 43],
)
def test_other_keys_are_refused(file: Path, wrong: bytes) -> None:
    """Also those that are almost right, or no text."""
    key = new_key()
    file.write_text(entry("alice", key))
    ring = KeyRing(file, KeyDefaults())
    for bad in (wrong, key.encode()[:-1], key.encode() + b"A", key.lower().encode()):
        with pytest.raises(Unauthenticated):
            ring.find(bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[keys.a]\n", r"keys\.a\.hash: Field required"),
        ('[keys.a]\nhash = "abc"', r"keys\.a\.hash"),
        ('[keys."a/b"]\nhash = "HASH"', r"keys\.a/b"),
        ('[keys.a]\nhash = "HASH"\nrole = "root"', r"keys\.a\.role: Input should be 'user' or 'admin'"),
        ('[keys.a]\nhash = "HASH"\nexpires = 2027-01-01T00:00:00', r"keys\.a\.expires: .*timezone"),
        ('[keys.a]\nhash = "HASH"\nrequests_per_s = 0', r"keys\.a\.requests_per_s: .*greater than 0"),
        ('[keys.a]\nhash = "HASH"\nlimit = 3', r"keys\.a\.limit: Extra inputs"),
        ('[keys.a]\nhash = "HASH"\n[keys.b]\nhash = "HASH"', "'a' and 'b' have the same hash"),
        ("[keys.a", "is not TOML"),
    ],
)
def test_a_wrong_file_says_what_and_never_shows_a_value(file: Path, text: str, message: str) -> None:
    """Somebody may have put a key where its hash belongs."""
    key = new_key()
    file.write_text(text.replace("HASH", shown_digest(key)).replace('"abc"', f'"{key}"'))
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_keys(file)
    assert key not in str(caught.value)
    assert key.removeprefix("rnnserve_") not in repr(caught.value.__cause__)


def test_a_missing_file_is_an_error(file: Path) -> None:
    """A server whose keys are not found must not serve everybody."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        KeyRing(file, KeyDefaults())


def test_a_key_expires(file: Path) -> None:
    """Its holder learns that it has."""
    key = new_key()
    past, future = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    file.write_text(entry("alice", key, expires=past.isoformat()))
    with pytest.raises(Unauthenticated, match="has expired"):
        KeyRing(file, KeyDefaults()).find(key.encode())
    file.write_text(entry("alice", key, expires=future.isoformat()))
    assert KeyRing(file, KeyDefaults()).find(key.encode()).valid


def test_a_key_is_replaced_while_both_hold(file: Path) -> None:
    """The name, and so its sessions, stay; the old key goes when its hash does."""
    old, new = new_key(), new_key()
    file.write_text(entry("alice", old))
    ring = KeyRing(file, KeyDefaults())
    first = ring.find(old.encode())
    rewrite(file, f'[keys.alice]\nhash = ["{shown_digest(old)}", "{shown_digest(new)}"]\n')
    assert ring.refresh()
    assert ring.find(old.encode()) is first
    assert ring.find(new.encode()).principal is first.principal
    rewrite(file, entry("alice", new))
    assert ring.refresh()
    assert first.revoked
    assert not first.valid
    with pytest.raises(Unauthenticated):
        ring.find(old.encode())
    assert ring.find(new.encode()).principal is first.principal


def test_a_bad_file_leaves_the_keys_as_they_were(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once for each change, not once a look."""
    key = new_key()
    file.write_text(entry("alice", key))
    ring = KeyRing(file, KeyDefaults())
    rewrite(file, "[keys.alice]\n")
    with caplog.at_level(logging.ERROR):
        assert [ring.refresh(), ring.refresh()] == [False, False]
    assert len(caplog.messages) == 1
    file.unlink()
    assert not ring.refresh()
    assert ring.find(key.encode()).valid
    file.write_text("")
    assert ring.refresh()
    with pytest.raises(Unauthenticated):
        ring.find(key.encode())


def test_limits_come_from_the_entry_or_else_from_the_settings(file: Path) -> None:
    """And a reload changes them without giving back what was taken."""
    key = new_key()
    defaults = KeyDefaults(requests_per_s=1.0, steps_per_s=5.0, burst_s=2.0, max_sessions=7)
    file.write_text(entry("alice", key, requests_per_s=0.001))
    ring = KeyRing(file, defaults)
    principal = ring.find(key.encode()).principal
    assert ring.max_sessions("alice") == 7
    assert ring.max_sessions("nobody") is None
    principal.take_request()
    with pytest.raises(RateLimited, match=r"more than 0\.001 requests a second"):
        principal.take_request()
    principal.take_steps(10)
    with pytest.raises(RateLimited, match="more than 5 steps"):
        principal.take_steps(1)
    rewrite(file, entry("alice", key, requests_per_s=0.001, steps_per_s=0.5, max_sessions=3))
    assert ring.refresh()
    assert ring.max_sessions("alice") == 3
    for take in (principal.take_request, lambda: principal.take_steps(1)):
        with pytest.raises(RateLimited):
            take()


def test_nothing_shows_a_key_or_its_hash(file: Path) -> None:
    """Whatever is printed in a traceback or a log line."""
    key = new_key()
    file.write_text(entry("alice", key))
    ring = KeyRing(file, KeyDefaults())
    found = ring.find(key.encode())
    shown = f"{ring!r} {found!r} {found.principal!r}"
    assert key not in shown
    assert digest_of(key.encode()).hex() not in shown
    assert repr(digest_of(key.encode())) not in shown


def test_the_file_in_the_documentation_is_one(file: Path) -> None:
    """As it stands in docs/security.md."""
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    text = page[page.index("```toml\n") + 8 :]
    file.write_text(text[: text.index("```")])
    entries = read_keys(file)
    alice, ops = entries["alice"], entries["ops"]
    assert (len(entries), alice.role, alice.expires, alice.max_sessions) == (2, "user", None, None)
    assert (ops.role, len(ops.digests), ops.max_sessions) == ("admin", 2, 1000)
    assert ops.expires == datetime(2027, 1, 1, tzinfo=UTC)
