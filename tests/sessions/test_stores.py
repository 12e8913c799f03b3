"""What every store does: compare-and-set, groups, listings, snapshots, expiry, counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ConfigurationError
from app.sessions.stores import Durability, open_store
from app.sessions.stores.store import SessionStore, Snapshot, Stored, Write, Written
from tests.sessions.conftest import OpenStore

ROW = bytes(range(256)) * 16


def put(
    id: str, revision: int, *, expected: int | None = None, expires_at: float = 100.0, **more: Any
) -> Write:
    """A write of the revision after the expected one."""
    stored = Stored(revision, expires_at, f"{id}/{revision}".encode() + ROW)
    return Write(id, revision - 1 if expected is None else expected, stored, **more)


def shot(name: str, created_at: float, *, automatic: bool = True) -> Snapshot:
    """A snapshot."""
    return Snapshot(name, int(created_at), automatic, created_at, name.encode() + ROW)


def names(store: SessionStore, id: str) -> list[str]:
    """Names of a session's snapshots, oldest first."""
    return [snapshot.name for snapshot in store.snapshots(id)]


def test_a_written_record_is_read_back(store: SessionStore) -> None:
    """What was written is what is held, under its id alone; ids of any script and length do."""
    writes = [put(id, 1) for id in ("a", "ab", "é→", "z" * 200)]
    assert store.write(writes) == [Written(ok=True)] * 4
    assert store.get([write.id for write in writes]) == [write.stored for write in writes]
    assert store.get(["b", "a", "", "y" * 5000, "a"]) == [
        None,
        writes[0].stored,
        None,
        None,
        writes[0].stored,
    ]


def test_a_write_that_expects_another_revision_changes_nothing(store: SessionStore) -> None:
    """The loser of a race is told what is held, and its snapshot and tombstone are not taken."""
    first, winner = put("a", 1), put("a", 2)
    store.write([first])
    store.write([winner])
    loser = Write("a", 1, Stored(2, 50.0, b"other"), live=False, snapshot=shot("s", 1.0), keep_automatic=3)
    assert store.write([loser]) == [Written(ok=False, current=winner.stored)]
    assert store.write([put("a", 9, expected=0)]) == [Written(ok=False, current=winner.stored)]
    assert store.write([put("b", 5, expected=4)]) == [Written(ok=False)]
    assert store.get(["a", "b"]) == [winner.stored, None]
    assert (store.count(), names(store, "a"), store.due(60.0, 9)) == (1, [], [])


def test_a_write_sent_again_counts_as_applied_while_it_is_the_last(store: SessionStore) -> None:
    """The very bytes that are held are no conflict; what was written since is, and so are other bytes."""
    first = put("a", 1, snapshot=shot("s", 1.0), keep_automatic=1)
    second = put("a", 2)
    assert store.write([first]) == store.write([first]) == [Written(ok=True)]
    assert (names(store, "a"), store.count()) == (["s"], 1)
    for near in (Stored(1, 100.0, b"x"), Stored(1, 101.0, first.stored.record)):
        assert store.write([Write("a", 0, near)]) == [Written(ok=False, current=first.stored)]
    assert store.write([Write("a", 0, first.stored, live=False)]) == [Written(ok=False, current=first.stored)]
    store.write([second])
    assert store.write([first]) == [Written(ok=False, current=second.stored)]


def test_changes_of_a_group_stand_each_by_itself(store: SessionStore) -> None:
    """A group larger than any inner batch is applied, but for the change that conflicts."""
    store.write([put("130", 1)])
    writes = [put(f"{number}", 1, expires_at=float(number)) for number in range(300)]
    outcomes = store.write(writes)
    assert [index for index, outcome in enumerate(outcomes) if not outcome.ok] == [130]
    assert store.count() == 300
    assert store.get(["0", "299"]) == [writes[0].stored, writes[299].stored]


@pytest.mark.parametrize(
    ("id", "more"),
    [
        ("", {}),
        ("a\0b", {}),
        ("x" * 201, {}),
        ("a", {"expected": 1}),
        ("a", {"snapshot": shot("", 1.0)}),
        ("a", {"snapshot": shot("x" * 201, 1.0)}),
    ],
)
def test_a_write_that_no_caller_may_ask_for_cannot_be_made(id: str, more: dict[str, Any]) -> None:
    """Names that cannot be keys, and revisions that do not grow, never reach a store."""
    with pytest.raises(ValueError, match=r"name|revision"):
        put(id, 1, **more)


def test_a_full_store_takes_no_new_session_but_goes_on_with_the_old(new_store: OpenStore) -> None:
    """Live sessions count, inside a group too; a tombstone makes room, and returns only into room."""
    store = new_store(max_sessions=2)
    assert [each.full for each in store.write([put("a", 1), put("b", 1), put("c", 1)])] == [
        False,
        False,
        True,
    ]
    assert store.get(["c"]) == [None]
    assert store.write([put("a", 2)]) == [Written(ok=True)]
    grave = put("a", 3, live=False)
    assert store.write([grave, put("c", 1)]) == [Written(ok=True)] * 2
    assert store.count() == 2
    assert store.write([put("a", 4)]) == [Written(ok=False, current=grave.stored, full=True)]
    store.remove([("b", 1)])
    assert store.write([put("a", 4)]) == [Written(ok=True)]


def test_live_sessions_are_listed_in_pages(store: SessionStore) -> None:
    """Pages are in order of id and without tombstones, and begin after any id, whether it exists or not."""
    ids = ["Z", "a", "a!", "aa", "b", "ä", "日"]
    store.write([put(id, 1) for id in reversed(ids)])
    store.write([put("aa", 2, live=False)])
    ids.remove("aa")
    assert [id for id, _ in store.list_ids("", 100)] == ids
    assert store.list_ids("", 2) == [("Z", put("Z", 1).stored), ("a", put("a", 1).stored)]
    assert [id for id, _ in store.list_ids("a", 2)] == ["a!", "b"]
    assert [id for id, _ in store.list_ids("aa", 9)] == ["b", "ä", "日"]
    assert store.list_ids("日", 9) == []


def test_automatic_snapshots_make_room_oldest_first_and_named_ones_never(store: SessionStore) -> None:
    """The number to keep holds for automatic ones alone, and only when one is put."""
    store.write([put("a", 1, snapshot=shot("mine", 0.5, automatic=False))])
    for number in range(2, 7):
        store.write([put("a", number, snapshot=shot(f"auto-{number}", float(number)), keep_automatic=2)])
    assert names(store, "a") == ["mine", "auto-5", "auto-6"]
    store.write([put("a", 7), put("b", 1, snapshot=shot("auto-1", 1.0), keep_automatic=1)])
    store.write([put("a", 8, snapshot=shot("later", 9.0, automatic=False))])
    assert names(store, "a") == ["mine", "auto-5", "auto-6", "later"]
    assert store.snapshot("a", "auto-5") == shot("auto-5", 5.0)
    assert store.snapshot("a", "auto-4") is None
    assert store.snapshots("b") == [Snapshot("auto-1", 1, True, 1.0)]
    assert (store.snapshots("nobody"), store.snapshot("nobody", "auto-1")) == ([], None)


def test_a_snapshot_takes_the_place_of_its_namesake_unless_that_was_named(store: SessionStore) -> None:
    """A name is held once; an automatic snapshot does not replace one that a person named."""
    store.write([put("a", 1, snapshot=shot("s", 1.0), keep_automatic=5)])
    store.write([put("a", 2, snapshot=shot("s", 2.0, automatic=False))])
    store.write([put("a", 3, snapshot=shot("s", 3.0), keep_automatic=5)])
    assert store.snapshot("a", "s") == shot("s", 2.0, automatic=False)


def test_snapshots_go_when_they_are_dropped_or_their_session_is_removed(store: SessionStore) -> None:
    """A change may drop all, and put one after; nothing of a removed session comes back with its id."""
    for number in (1, 2):
        store.write([put("a", number, snapshot=shot(f"{number}", 1.0, automatic=False))])
    store.write([put("a", 3, drop_snapshots=True, snapshot=shot("only", 3.0, automatic=False))])
    store.write([put("ab", 1, snapshot=shot("other", 1.0, automatic=False))])
    assert names(store, "a") == ["only"]
    store.remove([("a", 3)])
    store.write([put("a", 1)])
    assert (names(store, "a"), names(store, "ab")) == ([], ["other"])


def test_a_record_is_removed_only_at_its_revision(store: SessionStore) -> None:
    """A session that was written since it was found to be over stays; others of the group go."""
    store.write([put("a", 1), put("b", 1), put("c", 1, live=False)])
    store.write([put("a", 2)])
    store.remove([("a", 1), ("b", 1), ("c", 1), ("nobody", 1)])
    assert [stored is None for stored in store.get(["a", "b", "c"])] == [False, True, True]
    assert (store.count(), [id for id, _ in store.due(1e9, 9)]) == (1, ["a"])


def test_records_fall_due_when_they_expire_now_not_when_first_planned(store: SessionStore) -> None:
    """One that was used since gets a second chance; one cut short is due earlier; tombstones are due too."""
    store.write(
        [put("used", 1, expires_at=10.0), put("idle", 1, expires_at=10.0), put("cut", 1, expires_at=90.0)]
    )
    store.write([put("used", 2, expires_at=30.0), put("cut", 2, expires_at=5.0, live=False)])
    assert store.due(4.9, 9) == []
    assert dict(store.due(10.0, 9)) == {
        "idle": put("idle", 1, expires_at=10.0).stored,
        "cut": put("cut", 2, expires_at=5.0).stored,
    }
    assert len(store.due(10.0, 1)) == 1
    store.remove([("idle", 1), ("cut", 2)])
    assert (store.due(29.0, 9), [id for id, _ in store.due(30.0, 9)]) == ([], ["used"])


def test_sessions_given_a_second_chance_do_not_hide_those_behind_them(store: SessionStore) -> None:
    """However many were used since, a few calls find what is due."""
    crowd = [put(f"{number:04}", 1, expires_at=10.0) for number in range(1200)]
    store.write([*crowd, put("due", 1, expires_at=11.0)])
    store.write([put(write.id, 2, expires_at=50.0) for write in crowd])
    found = [store.due(20.0, 5) for _ in range(5)]
    assert [id for id, _ in found[-1]] == ["due"]


def test_a_store_that_answers_passes_its_check(store: SessionStore) -> None:
    """The check returns, and empty groups are fine."""
    store.check()
    store.remove([])
    assert (store.get([]), store.write([]), store.count()) == ([], [], 0)


def test_an_lmdb_directory_keeps_its_sessions(tmp_path: Path) -> None:
    """A plain path and an ``lmdb:`` address are the same store, opened anew with what was in it."""
    folder = tmp_path / "made" / "here"
    store = open_store(str(folder), max_sessions=5)
    store.write([put("a", 1)])
    store.close()
    again = open_store(f"lmdb:{folder}", max_sessions=5, durability="power")
    assert (again.get(["a"]), again.count()) == ([put("a", 1).stored], 1)
    again.close()


@pytest.mark.parametrize(
    ("url", "durability", "says"),
    [
        ("ftp://host/x", "process", "lmdb:PATH"),
        ("memory:", "power", "memory"),
        ("memory:x", "process", "memory:"),
        ("lmdb:", "process", "lmdb:PATH"),
        ("redis:host", "process", "redis://HOST"),
        ("redis://host:port", "process", "address"),
        ("redis://host?sockettimeout=1", "process", "sockettimeout"),
        ("{file}", "process", "cannot be kept"),
        ("{file}/below", "process", "cannot be kept"),
    ],
)
def test_an_address_that_is_no_store_is_refused(
    url: str, durability: Durability, says: str, tmp_path: Path
) -> None:
    """The message says what is allowed, or why it cannot be opened."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigurationError, match=says):
        open_store(url.format(file=file), max_sessions=1, durability=durability)


def test_a_damaged_directory_is_refused(tmp_path: Path) -> None:
    """A file that is not LMDB's is an error at once, not an empty store."""
    (tmp_path / "data.mdb").write_bytes(b"nonsense" * 4096)
    with pytest.raises(ConfigurationError, match="cannot be kept"):
        open_store(str(tmp_path), max_sessions=1)


def test_a_refused_address_does_not_show_its_password() -> None:
    """Messages reach logs."""
    with pytest.raises(ConfigurationError) as refused:
        open_store("rediss://:hunter2@host:1/0?nonsense=1", max_sessions=1)
    assert "hunter2" not in str(refused.value)


def test_a_record_that_ends_at_the_beginning_of_time_is_due(store: SessionStore) -> None:
    """No value of the clock means "not planned"."""
    first = put("a", 1, expires_at=0.0)
    store.write([first])
    assert store.due(0.0, 9) == [("a", first.stored)]
