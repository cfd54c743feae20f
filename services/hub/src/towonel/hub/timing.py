"""Intervals and timeouts of a hub, in one place: whoever starts a hub may choose others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Intervals and timeouts of a hub, in seconds.

    Args:
        maintenance_s: between two rounds of pruning and of writing down what is noted.
        serving_check_s: how late serving of a tenant ends whose time is over.
        health_check_s: how late /readyz tells that the database or Redis is away, or is back.
        database_begin_s: for earlier writes, a free connection and the start of a transaction; then
            a request is answered with 503.
        database_answer_s: without a byte from Postgres. A lock that cannot be had is an error of its
            own before that.
        redis_answer_s: a Redis slower than this counts as unavailable for the rate limits.
        redis_retry_s: between attempts to reach a Redis that is unavailable.
        redis_ping_s: of silence, after which Redis is pinged; twice as long, and it is unavailable.
        events_poll_s: how late a write of another replica may show in the stream of events.
        events_keepalive_s: of silence, after which a comment shows that the stream is alive.
        route_stream_poll_s: between two looks at who serves a route, which has no revision.
    """

    maintenance_s: float = 15.0
    serving_check_s: float = 2.0
    health_check_s: float = 2.0
    database_begin_s: float = 8.0
    database_answer_s: float = 8.0
    redis_answer_s: float = 0.25
    redis_retry_s: float = 5.0
    redis_ping_s: float = 2.0
    events_poll_s: float = 2.0
    events_keepalive_s: float = 15.0
    route_stream_poll_s: float = 15.0
