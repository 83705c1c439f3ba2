from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from logs.store import bloom


@given(st.sets(st.binary(max_size=20), max_size=200))
def test_no_key_is_ever_denied(keys: set[bytes]) -> None:
    bits = bloom.make(keys)
    assert all(bloom.may_hold(bits, key) for key in keys)


def test_few_strangers_pass() -> None:
    bits = bloom.make({b"key %d" % n for n in range(2_000)})
    assert len(bits) == 3_000
    assert sum(bloom.may_hold(bits, b"stranger %d" % n) for n in range(10_000)) < 300


def test_an_empty_filter_holds_nothing() -> None:
    assert bloom.make(set()) == b""
    assert not bloom.may_hold(b"", b"anything")
