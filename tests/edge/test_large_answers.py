"""Large answers in parts: the bytes of the serializer, and what was written is let go."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.core import large_answers
from app.core.large_answers import _parts, json_of, size_of
from app.core.schema import Answer


class Leaf(Answer):
    """Some values."""

    name: str = "x"
    value: float | None = None
    more: list[float | None] | None = None


class Tree(Answer):
    """Lists of all kinds."""

    leaves: list[Leaf]
    numbers: list[float]
    named: dict[str, list[float]]
    outputs: list[dict[str, Any]]
    inner: Leaf | None = None


floats = st.floats(width=32) | st.none()
leaves = st.builds(Leaf.model_construct, name=st.text(max_size=5), value=floats, more=st.lists(floats))
trees = st.builds(
    Tree.model_construct,
    leaves=st.lists(leaves, max_size=6),
    numbers=st.lists(st.floats(), max_size=20),
    named=st.dictionaries(st.text(max_size=3), st.lists(st.floats(), max_size=9), max_size=4),
    outputs=st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3)), max_size=5),
    inner=st.none() | leaves,
)


@given(trees, st.integers(2, 12), st.booleans())
def test_parts_are_the_bytes_of_the_serializer(tree: Tree, size: int, unset: bool) -> None:
    """Whatever the size of a part is, NaN and infinities as null, with and without what was not given."""
    whole = tree.__pydantic_serializer__.to_json(tree, exclude_unset=unset)
    large_answers._PART, before = size, large_answers._PART
    try:
        assert b"".join(_parts(tree, unset)) == whole
    finally:
        large_answers._PART = before


async def test_a_large_answer_is_empty_once_it_is_written() -> None:
    """Freeing it at once would take as long as writing it."""
    tree = Tree.model_construct(
        leaves=[Leaf.model_construct(name=str(number), more=[math.nan] * 9) for number in range(3000)],
        numbers=[0.1] * 50_000,
        named={"a": [1.0] * 5000},
        outputs=[{"b": 1}] * 5000,
        inner=None,
    )
    whole = tree.__pydantic_serializer__.to_json(tree)
    assert size_of(tree) > 80_000
    assert await json_of(tree) == whole
    assert (tree.leaves, tree.numbers, tree.named["a"], tree.outputs) == ([], [], [], [])


async def test_a_small_answer_is_left_as_it_is() -> None:
    tree = Tree.model_construct(leaves=[Leaf()] * 10, numbers=[1.0] * 500, named={}, outputs=[], inner=Leaf())
    assert await json_of(tree) == tree.__pydantic_serializer__.to_json(tree)
    assert len(tree.numbers) == 500
