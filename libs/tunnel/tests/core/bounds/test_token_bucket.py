"""Token bucket."""

from towonel.tunnel.core.bounds.token_bucket import TokenBucket


def test_a_burst_is_let_through_and_then_so_many_a_second() -> None:
    bucket = TokenBucket(per_s=2, burst=3, now=100)

    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(100.9)


def test_several_are_taken_together_or_none_of_them() -> None:
    bucket = TokenBucket(per_s=1, burst=5, now=0)

    assert bucket.take(0, 4)
    assert not bucket.take(0, 2)
    assert bucket.take(0)


def test_what_does_not_fit_is_lost() -> None:
    bucket = TokenBucket(per_s=1, burst=2, now=0)
    bucket.add(100)

    assert [bucket.take(1000) for _ in range(3)] == [True, True, False]
