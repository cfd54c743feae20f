"""Token buckets by key: each has its own, and those that are full take no memory."""

from towonel.tunnel.core.bounds.keyed_buckets import KeyedBuckets


def test_each_key_has_a_burst_and_then_so_many_a_second() -> None:
    buckets = KeyedBuckets[str](per_s=2, burst=3, capacity=9)

    assert [buckets.take("a", 100) for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b", 100)
    assert not buckets.take("a", 100.4)
    assert buckets.take("a", 100.5)


def test_a_bucket_that_is_full_again_is_forgotten() -> None:
    buckets = KeyedBuckets[int](per_s=1, burst=2, capacity=1000)
    for key in range(100):
        buckets.take(key, now=100)
    buckets.take(7, now=100)
    assert len(buckets) == 100

    buckets.take(-1, now=101)

    assert len(buckets) == 2  # 7 has one token of two


def test_of_too_many_keys_the_one_that_was_asked_least_recently_is_forgotten() -> None:
    buckets = KeyedBuckets[int](per_s=0.001, burst=1, capacity=3)
    for key in (1, 2, 3):
        assert buckets.take(key, now=100)
    assert not buckets.take(1, now=100)
    assert buckets.take(4, now=100)

    assert len(buckets) == 3
    assert not buckets.take(1, now=100)
    assert buckets.take(2, now=100)


def test_a_token_that_was_taken_for_nothing_is_put_back() -> None:
    buckets = KeyedBuckets[str](per_s=0.001, burst=1, capacity=3)
    buckets.take("a", now=100)
    buckets.put_back("a")
    buckets.put_back("never asked")

    assert buckets.take("a", now=100)
    assert len(buckets) == 1
