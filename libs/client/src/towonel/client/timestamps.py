"""Timestamp generator for signed requests: the wall clock's time, and none twice in a row."""

MAX_LEAD_MS = 1_000  # far below the skew that a hub allows, far above a burst of requests


def next_timestamp(now_ms: int, last_ms: int) -> int:
    """Return the time to sign with after a request that was signed with `last_ms`.

    A hub takes the same time from one signer as a replay, so requests within a millisecond are
    numbered on. A clock that was put back by more is followed: who went on from the old time would
    be refused for as long as the clock had been ahead.
    """
    return last_ms + 1 if 0 <= last_ms - now_ms < MAX_LEAD_MS else now_ms
