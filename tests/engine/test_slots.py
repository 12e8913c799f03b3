"""The slot table: who owns which row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.plan import SlotRef
from app.engine.slots import SlotTable


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 5))
def test_no_slot_is_owned_twice(actions: list[int], size: int) -> None:
    """However slots are acquired and released, owners hold distinct rows and the counts add up."""
    table, held = SlotTable(size), list[SlotRef]()
    for action in actions:
        if action < 3 and table.num_free:
            held.append(table.acquire())
        elif held:
            table.release(held.pop(action % len(held)))
        assert len({ref.index for ref in held}) == len(held) == table.num_used
        assert table.num_free + table.num_used == size
        assert all(table.is_current(ref) for ref in held)


def test_a_released_reference_is_stale_and_harmless() -> None:
    """A reference of an earlier owner is not current, and releasing it again changes nothing."""
    table = SlotTable(1)
    first = table.acquire()
    table.release(first)
    second = table.acquire()
    table.release(first)
    assert not table.is_current(first)
    assert table.is_current(second)
    assert (second.index, table.num_free) == (first.index, 0)
