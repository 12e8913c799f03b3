"""N-grams that must not come twice, against a look through all that was said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.repeats import Repeats


@given(tokens=st.lists(st.integers(0, 3), max_size=40), size=st.integers(1, 5), cut=st.integers(0, 40))
def test_what_would_repeat_an_n_gram_is_found(tokens: list[int], size: int, cut: int) -> None:
    """At once, or by a copy on the way, which leaves the other as it was."""
    grams = {tuple(tokens[at : at + size]) for at in range(len(tokens) - size + 1)}
    last = tuple(tokens[len(tokens) - size + 1 :]) if len(tokens) >= size - 1 else None
    wanted = {token for token in range(4) if last is not None and (*last, token) in grams}
    assert set(Repeats(size, tokens).next()) == wanted
    first = Repeats(size, tokens[:cut])
    before = first.next()
    second = first.copy()
    for token in tokens[cut:]:
        second.add(token)
    assert set(second.next()) == wanted
    assert first.next() == before
