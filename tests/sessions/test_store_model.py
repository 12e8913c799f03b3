"""Random work on every store against the rules written out over a plain dict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.sessions.stores.store import Snapshot, Stored, Write, Written
from tests.sessions.conftest import OpenStore

IDS = ("a", "aa", "a!", "b", "é", "x" * 200, "o/a", "o/b", "o0/a")
NAMES = ("1", "2", "3", "é")
MAX_SESSIONS = 4

times = st.integers(0, 12).map(float)


@dataclass
class Held:
    """What the model holds under an id."""

    stored: Stored
    live: bool
    snapshots: dict[str, Snapshot] = field(default_factory=dict)


class Model:
    """The rules, with no thought of speed."""

    def __init__(self, max_sessions: int) -> None:
        self.max_sessions = max_sessions
        self.held: dict[str, Held] = {}

    def count(self) -> int:
        """Live sessions."""
        return sum(held.live for held in self.held.values())

    def write(self, write: Write) -> Written:
        """Apply one change."""
        held = self.held.get(write.id)
        if held is not None and (held.stored, held.live) == (write.stored, write.live):
            return Written(ok=True)
        if (held.stored.revision if held else 0) != write.expected:
            return Written(ok=False, current=held.stored if held else None)
        if write.live and not (held and held.live) and self.count() >= self.max_sessions:
            return Written(ok=False, current=held.stored if held else None, full=True)
        if write.live and not (held and held.live) and self.crowded(write):
            return Written(ok=False, current=held.stored if held else None, crowded=True)
        snapshots = {} if held is None or write.drop_snapshots else held.snapshots
        self.held[write.id] = Held(write.stored, write.live, snapshots)
        if (new := write.snapshot) is not None:
            if new.name not in snapshots or snapshots[new.name].automatic or not new.automatic:
                snapshots[new.name] = new
            while new.automatic and len(automatic := self.automatic(write.id)) > write.keep_automatic:
                del snapshots[automatic[0].name]
        return Written(ok=True)

    def crowded(self, write: Write) -> bool:
        """Whether the owner of a session has as many live ones as it may."""
        owner, slash, _ = write.id.rpartition("/")
        owned = sum(held.live and id.startswith(f"{owner}/") for id, held in self.held.items())
        return bool(slash) and write.max_owned is not None and owned >= write.max_owned

    def automatic(self, id: str) -> list[Snapshot]:
        """Automatic snapshots, oldest first."""
        return [snapshot for snapshot in self.listing(id) if snapshot.automatic]

    def listing(self, id: str) -> list[Snapshot]:
        """Snapshots, oldest first."""
        snapshots = self.held[id].snapshots.values() if id in self.held else ()
        return sorted(snapshots, key=lambda each: (each.created_at, each.step, each.name))


class Machine(RuleBasedStateMachine):
    """One run: groups of writes, resends, removals and questions in any order."""

    def __init__(self, new_store: OpenStore, max_sessions: int) -> None:
        super().__init__()
        self.store = new_store(max_sessions=max_sessions)
        self.model = Model(max_sessions)
        self.last: list[Write] = []

    def teardown(self) -> None:
        """Stores hold files and connections."""
        self.store.close()

    @rule(data=st.data(), ids=st.lists(st.sampled_from(IDS), min_size=1, unique=True))
    def write(self, data: st.DataObject, ids: list[str]) -> None:
        """A group, some of it with a revision that is not held."""
        self.last = [self.draw_write(data, id) for id in ids]
        self.apply()

    @rule()
    def send_again(self) -> None:
        """The last group again, as if its answer had been lost."""
        self.apply()

    @rule(id=st.sampled_from(IDS), off=st.sampled_from([0, 0, 1]))
    def remove(self, id: str, off: int) -> None:
        """Forget a session, or fail to."""
        held = self.model.held.get(id)
        self.store.remove([(id, held.stored.revision + off if held else 1)])
        if held and not off:
            del self.model.held[id]

    @rule(now=times, limit=st.sampled_from([1, 2, 100]))
    def due(self, now: float, limit: int) -> None:
        """Who is due, wholly or in part."""
        truth = {id: held.stored for id, held in self.model.held.items() if held.stored.expires_at <= now}
        found = self.store.due(now, limit)
        assert len(found) == len(dict(found)) == min(limit, len(truth))
        assert dict(found).items() <= truth.items()

    @rule(after=st.sampled_from(["", "A", "zz", *IDS]), limit=st.integers(1, 4))
    def page(self, after: str, limit: int) -> None:
        """A page of live sessions."""
        live = sorted(id for id, held in self.model.held.items() if held.live and id > after)
        assert self.store.list_ids(after, limit) == [(id, self.model.held[id].stored) for id in live[:limit]]

    @rule(id=st.sampled_from(IDS), name=st.sampled_from(NAMES))
    def snapshot(self, id: str, name: str) -> None:
        """A snapshot by name."""
        held = self.model.held.get(id)
        assert self.store.snapshot(id, name) == (held.snapshots.get(name) if held else None)

    @invariant()
    def the_same_is_held(self) -> None:
        """Records, count and listings of snapshots are those of the model."""
        held = [self.model.held.get(id) for id in IDS]
        assert self.store.get(IDS) == [each.stored if each else None for each in held]
        assert self.store.count() == self.model.count()
        for id in IDS:
            listing = [replace(each, record=b"") for each in self.model.listing(id)]
            assert self.store.snapshots(id) == listing

    def draw_write(self, data: st.DataObject, id: str) -> Write:
        """A change that is mostly in turn."""
        held = self.model.held.get(id)
        expected = (held.stored.revision if held else 0) + data.draw(st.sampled_from([0, 0, 0, 0, 1]))
        revision = expected + data.draw(st.integers(1, 3))
        snapshot = None
        if data.draw(st.booleans()):
            created_at, step = data.draw(times), data.draw(st.integers(0, 2))
            automatic = data.draw(st.booleans())
            snapshot = Snapshot(
                data.draw(st.sampled_from(NAMES)), step, automatic, created_at, data.draw(st.binary())
            )
        return Write(
            id,
            expected,
            Stored(revision, data.draw(times), data.draw(st.binary(max_size=8))),
            live=data.draw(st.sampled_from([True, True, False])),
            snapshot=snapshot,
            keep_automatic=data.draw(st.integers(0, 2)),
            drop_snapshots=data.draw(st.sampled_from([False, False, True])),
            max_owned=data.draw(st.sampled_from([None, None, 0, 1, 2])),
        )

    def apply(self) -> None:
        """Send the group to both."""
        assert self.store.write(self.last) == [self.model.write(write) for write in self.last]


def test_a_store_does_what_the_rules_say(new_store: OpenStore) -> None:
    """Any sequence of operations gives what a dict under the same rules gives."""
    run_machine(new_store)


def run_machine(new_store: OpenStore, max_sessions: int = MAX_SESSIONS) -> None:
    """On stores of one kind."""

    class OfOneKind(Machine):
        def __init__(self) -> None:
            super().__init__(new_store, max_sessions)

    run_state_machine_as_test(
        OfOneKind,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],  # an example opens a store
        ),
    )
