"""Sessions against a plain model: a session is the list of what it was fed, and by which model.

Random operations drive the real service over every store; after each, what the service says of
a session is what a serial run of its list says, to the bit.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from app.core.errors import (
    InvalidInput,
    RnnserveError,
    SequenceConflict,
    SessionGone,
    UnknownSession,
)
from app.sessions.limits import SessionLimits
from app.sessions.portable import StateSigner
from app.sessions.schema import CreateSession, ForkRequest, StatelessRequest
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.sessions.stores import open_store
from app.tasks.generate.actions import GENERATE, GenerateFromState
from tests.bundles import tiny_generator
from tests.fakes import FakeClock
from tests.redis_server import RedisServer
from tests.rig import inference, sessions
from tests.sessions.oracle import Fed, Oracle, tokens_of

T = TypeVar("T")
VERSIONS = ("tiny-text@1", "tiny-text@2")
TTL_S = 100.0
LIMITS = SessionLimits(
    session_ttl_s=TTL_S,
    session_tombstone_s=1e6,
    session_max_snapshots=3,
    session_keep_automatic=2,
    session_snapshot_every=4,
)
SECRET = b"the model's secret"


@dataclass(frozen=True)
class Expected:
    """A session as the plain model knows it."""

    fed: Fed = ()
    model: str = VERSIONS[0]
    deadline: float = 0.0
    origin: bool = True
    named: dict[str, tuple[Fed, str]] = field(default_factory=dict)
    last: tuple[int, list[int], bytes] | None = None


class SessionMachine(RuleBasedStateMachine):
    """Operations and what must hold after each."""

    url: ClassVar[str] = "memory:"
    folder: ClassVar[Path]
    oracle: ClassVar[Oracle]
    ids = Bundle("ids")
    states = Bundle("states")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.clock = FakeClock(1_000_000.0)
        self.open: dict[str, Expected] = {}
        self.ended: dict[str, tuple[str, int]] = {}
        self.created = 0
        self.place = Path(tempfile.mkdtemp())
        self.service = self.run(self.begin())

    async def begin(self) -> SessionService:
        """A service on a fresh store."""
        url = self.url.replace("FRESH", self.place.name)
        store = open_store(f"lmdb:{self.place}" if url == "lmdb:" else url, max_sessions=1000)
        rig = await self.stack.enter_async_context(inference(self.folder))
        return await self.stack.enter_async_context(sessions(rig, store, LIMITS, self.clock, SECRET))

    def teardown(self) -> None:
        """Close everything."""
        self.run(self.stack.aclose())
        self.loop.close()
        shutil.rmtree(self.place, ignore_errors=True)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the machine's loop."""
        return self.loop.run_until_complete(work)

    def new_id(self) -> str:
        """A name not used before."""
        self.created += 1
        return f"s{self.created}"

    def refuses(self, work: Callable[[], Coroutine[Any, Any, Any]], id: str) -> bool:
        """Whether the session has ended; if so, the operation must say so."""
        if id in self.open:
            return False
        reason, step = self.ended[id]
        with pytest.raises(SessionGone) as caught:
            self.run(work())
        assert (caught.value.reason, caught.value.step) == (reason, step)
        return True

    def touched(self, id: str, **changes: Any) -> None:
        """Book a write: the session's time begins anew."""
        self.open[id] = replace(self.open[id], deadline=self.clock.now + TTL_S, **changes)

    @rule(target=ids, version=st.sampled_from(VERSIONS))
    def create(self, version: str) -> str:
        """Open a session."""
        id = self.new_id()
        self.run(self.service.create(CreateSession(model=version, id=id)))
        self.open[id] = Expected(model=version, deadline=self.clock.now + TTL_S)
        return id

    @rule(id=ids, tokens=st.lists(st.integers(1, 30), min_size=1, max_size=6), with_seq=st.booleans())
    def step(self, id: str, tokens: list[int], with_seq: bool) -> None:
        """The next call is applied."""
        seq = len(self.open[id].fed) + 1 if with_seq and id in self.open else None
        outcome = self.run(self.service.steps([StepCall(id, tokens, seq)]))[0]
        if id not in self.open:
            assert isinstance(outcome, SessionGone)
            return
        assert isinstance(outcome, bytes), outcome
        known = self.open[id]
        fed = known.fed + tuple((known.model, token) for token in tokens)
        answer = orjson.loads(outcome)
        assert (answer["seq"], answer["step"]) == (len(known.fed) + 1, len(fed))
        self.touched(id, fed=fed, last=(len(known.fed) + 1, tokens, outcome))

    @rule(id=ids)
    def retry(self, id: str) -> None:
        """The last call again gives its stored answer and changes nothing."""
        if id not in self.open or self.open[id].last is None:
            return
        seq, tokens, answer = self.open[id].last or (0, [], b"")
        assert self.run(self.service.steps([StepCall(id, tokens, seq)])) == [answer]

    @rule(
        id=ids,
        off=st.sampled_from([-3, -1, 2, 7]),
        tokens=st.lists(st.integers(1, 30), min_size=7, max_size=7),
    )
    def conflict(self, id: str, off: int, tokens: list[int]) -> None:
        """Any other number conflicts and says what is held."""
        if id not in self.open:
            return
        due = len(self.open[id].fed) + 1
        if due + off < 1:
            return
        (outcome,) = self.run(self.service.steps([StepCall(id, tokens, due + off)]))
        assert isinstance(outcome, SequenceConflict)
        assert (outcome.step, outcome.expected) == (due - 1, due)

    @rule(ids_=st.lists(ids, min_size=1, max_size=5), token=st.integers(1, 30))
    def batch(self, ids_: list[str], token: int) -> None:
        """Many calls at once; those on one session keep their order, those on ended ones fail alone."""
        outcomes = self.run(self.service.steps([StepCall(id, [token]) for id in ids_]))
        for id, outcome in zip(ids_, outcomes, strict=True):
            if id not in self.open:
                assert isinstance(outcome, SessionGone)
                continue
            assert isinstance(outcome, bytes), outcome
            known = self.open[id]
            self.touched(
                id, fed=(*known.fed, (known.model, token)), last=(len(known.fed) + 1, [token], outcome)
            )

    @rule(target=ids, id=ids)
    def fork(self, id: str) -> Any:
        """A copy goes on by itself."""
        new = self.new_id()
        if self.refuses(lambda: self.service.fork(id, ForkRequest(id=new)), id):
            return multiple()
        self.run(self.service.fork(id, ForkRequest(id=new)))
        known = self.open[id]
        self.open[new] = replace(known, deadline=self.clock.now + TTL_S, named={}, last=None)
        return new

    @rule(id=ids, name=st.sampled_from(["a", "b", "c", "d"]))
    def snapshot(self, id: str, name: str) -> None:
        """Keep the present state, unless the name is taken or there are too many."""
        if self.refuses(lambda: self.service.history.snapshot(id, name), id):
            return
        known = self.open[id]
        if name in known.named or len(known.named) >= LIMITS.session_max_snapshots:
            with pytest.raises(InvalidInput):
                self.run(self.service.history.snapshot(id, name))
            return
        self.run(self.service.history.snapshot(id, name))
        self.touched(id, named=known.named | {name: (known.fed, known.model)})

    @rule(id=ids, to=st.sampled_from(["a", "b", "c", "d", 0]))
    def rewind(self, id: str, to: str | int) -> None:
        """Go back to a kept state, or to the start."""
        if self.refuses(lambda: self.service.history.rewind(id, to), id):
            return
        known = self.open[id]
        # An automatic snapshot of another time line may hold step 0's name; named ones are exact.
        target = known.named.get(str(to)) if to else ((), known.model)
        possible = target is not None and target[1] == known.model and (to != 0 or known.origin)
        if not possible:
            with pytest.raises(RnnserveError):
                self.run(self.service.history.rewind(id, to))
            return
        self.run(self.service.history.rewind(id, to))
        assert target is not None
        self.touched(id, fed=target[0], last=None)

    @rule(id=ids, version=st.sampled_from(VERSIONS))
    def migrate(self, id: str, version: str) -> None:
        """Go on with the other version."""
        if self.refuses(lambda: self.service.history.migrate(id, version), id):
            return
        self.run(self.service.history.migrate(id, version))
        self.touched(id, model=version)

    @rule(target=states, id=ids)
    def export(self, id: str) -> Any:
        """Download the state."""
        if self.refuses(lambda: self.service.states.export(id), id):
            return multiple()
        answer = self.run(self.service.states.export(id))
        return answer.state, self.open[id].fed, self.open[id].model

    @rule(target=ids, state=states)
    def bring_in(self, state: tuple[str, Fed, str]) -> str:
        """Hand a state in again."""
        id = self.new_id()
        text, fed, model = state
        self.run(self.service.create(CreateSession(id=id, state=text)))
        self.open[id] = Expected(fed, model, self.clock.now + TTL_S, origin=not fed)
        return id

    @rule(state=consumes(states), token=st.integers(1, 30))
    def carry(self, state: tuple[str, Fed, str], token: int) -> None:
        """A step on a carried state equals one in a session."""
        text, fed, model = state
        answer = self.run(self.service.states.stateless(StatelessRequest(state=text, inputs=[token])))
        row = StateSigner(SECRET).open(answer.state).row
        assert row.tobytes() == self.oracle.row((*fed, (model, token)))

    @rule(id=ids, seed=st.integers(0, 99))
    def advance(self, id: str, seed: int) -> None:
        """Generate and keep what was generated."""
        request = GenerateFromState(max_tokens=5, seed=seed, advance=True)
        if self.refuses(lambda: self.service.actions.answer(id, GENERATE, request), id):
            return
        known = self.open[id]
        answer = orjson.loads(self.run(self.service.actions.answer(id, GENERATE, request)))
        tokens = tokens_of(answer["choices"][0]["text"])
        lead = [] if known.fed else tokens_of("\n")
        fed = known.fed + tuple((known.model, token) for token in [*lead, *tokens])
        assert answer["step"] == len(fed)
        self.touched(id, fed=fed, last=None)

    @rule(id=ids)
    def close(self, id: str) -> None:
        """End a session."""
        if self.refuses(lambda: self.service.close(id), id):
            return
        self.run(self.service.close(id))
        self.ended[id] = ("closed", len(self.open.pop(id).fed))

    @rule(seconds=st.sampled_from([1.0, 40.0, 101.0]), sweep=st.booleans())
    def wait(self, seconds: float, sweep: bool) -> None:
        """Time passes; what runs out has expired, swept or not."""
        self.clock.now += seconds
        for id, known in list(self.open.items()):
            if known.deadline <= self.clock.now:
                self.ended[id] = ("expired", len(self.open.pop(id).fed))
        if sweep:
            self.run(self.service.sweep())

    @rule()
    def unknown(self) -> None:
        """A session that never was is unknown."""
        with pytest.raises(UnknownSession):
            self.run(self.service.view("never"))

    @invariant()
    def every_session_is_what_its_list_says(self) -> None:
        """Step, model and every bit of the row."""
        signer = StateSigner(SECRET)
        for id, known in self.open.items():
            answer = self.run(self.service.states.export(id))
            assert (answer.step, answer.model) == (len(known.fed), known.model)
            row = signer.open(answer.state).row
            assert not known.fed or row.tobytes() == self.oracle.row(known.fed)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of one model whose rows mean the same."""
    folder = tmp_path_factory.mktemp("versions")
    for version in "12":
        tiny_generator(folder, "rnn", version=version, seed=int(version))
    return folder


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real server."""
    with RedisServer(tmp_path_factory.mktemp("valkey"), append_only=False) as server:
        yield server


@pytest.mark.parametrize("kind", ["memory", "lmdb", "redis"])
def test_sessions_are_what_they_were_fed(kind: str, versions: Path, request: pytest.FixtureRequest) -> None:
    """Whatever is done to them: see the rules above, on every store."""
    server = request.getfixturevalue("valkey") if kind == "redis" else None
    url = f"{kind}:" if server is None else f"{server.url}?prefix=FRESH"
    machine = type("Machine", (SessionMachine,), {"url": url, "folder": versions, "oracle": Oracle(versions)})
    run_state_machine_as_test(
        machine,
        # An example opens stores and engines, which is slower than Hypothesis expects.
        settings=settings(
            max_examples=12, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
