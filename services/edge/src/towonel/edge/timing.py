"""Timers of an edge, in seconds; the defaults are those of production."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RouteTiming:
    """Timers of following the hub's routes.

    Args:
        long_poll_s: how long the hub may hold a request while there is no change.
        poll_every_s: between requests while Redis notifies of changes, since it may lose a message;
            also the longest pause that a hub in need may ask for.
        min_interval_s: between the beginnings of two polls, whatever says that there is a change.
        max_interval_s: the same, after some that found none: each of them doubles the interval.
        recheck_s: from a notification to the second poll, where the first one found no change: the
            hub that answered may hear of it later than its edge.
        register_every_s: between registrations.
        register_retry_s: until the next try, where the hub could not write the last one.
        start_s: for which a hub that has never answered is thought to be starting, too.
        first_pause_s: before the first retry; a hub that is back is found within seconds.
        max_pause_s: between retries, at most.
        save_pause_s: between writes of the snapshot: many changes in a row are one write.
    """

    long_poll_s: int = 25
    poll_every_s: float = 15.0
    min_interval_s: float = 0.1
    max_interval_s: float = 1.0
    recheck_s: float = 1.0
    register_every_s: float = 60.0
    register_retry_s: float = 2.0
    start_s: float = 15.0
    first_pause_s: float = 0.25
    max_pause_s: float = 3.0
    save_pause_s: float = 1.0


@dataclass(frozen=True, slots=True)
class ReportTiming:
    """Timers of the reports; the hub names the interval between them.

    Args:
        first_pause_s: before the first report, and the first retry.
        max_pause_s: between retries, at most.
        max_requested_pause_s: the longest pause that a hub in need may ask for.
        after_end_s: between reports, where a session has ended since: somebody may wait for its place.
        final_report_s: for the last report, after which the edge ends without it.
    """

    first_pause_s: float = 1.0
    max_pause_s: float = 10.0
    max_requested_pause_s: float = 60.0
    after_end_s: float = 6.0
    final_report_s: float = 1.0


@dataclass(frozen=True, slots=True)
class ClientTiming:
    """Timers of one client.

    Args:
        open_s: for all tries to open a stream together; an agent gives its origin 10 s.
        linger_s: for a refused client to read its alert: a round trip, from far away.
        unacknowledged_s: for which a client may acknowledge nothing of what was sent to it.
        check_s: between looks at what clients acknowledge, and whether they are idle.
    """

    open_s: float = 15.0
    linger_s: float = 1.0
    unacknowledged_s: float = 15.0
    check_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Timers of the whole process.

    Args:
        routes: of following the hub's routes.
        reports: of the reports to the hub.
        clients: of each client.
        settle_s: at the end, for clients that are choosing a session, before agents are told to
            use other edges.
        count_s: in which a worker counts the bytes of every client once.
        report_s: between reports of a worker to control; rounded to a quarter of a second.
    """

    routes: RouteTiming = field(default_factory=RouteTiming)
    reports: ReportTiming = field(default_factory=ReportTiming)
    clients: ClientTiming = field(default_factory=ClientTiming)
    settle_s: float = 2.0
    report_s: float = 0.25
    count_s: float = 1.0


DEFAULT_TIMING = Timing()
