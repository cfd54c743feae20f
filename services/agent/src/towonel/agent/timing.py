"""Timers of an agent, in seconds; the defaults are those of production."""

from dataclasses import dataclass, field

from towonel.tunnel.core.timing import DEFAULT_TIMING as DEFAULT_SESSION_TIMING
from towonel.tunnel.core.timing import Timing as SessionTiming


@dataclass(frozen=True, slots=True)
class HubTiming:
    """Timers of the agent's requests to its hub.

    Args:
        refresh_s: between requests for a newer grant and the list of edges.
        unlinked_first_s: until the second request while there is no link; doubled after each.
        unlinked_max_s: between those, at most: an edge that joins is found by agents without any.
        after_publish_s: between the first ones after services with ports were published: an edge says with its
            next report, every 10 s, whether it listens on them.
        first_pause_s: before the first retry.
        max_pause_s: between retries, at most: a hub that is back finds its agents within 5 s.
        start_s: for which a hub that has never answered is thought to be starting, too.
        refused_pause_s: after a refusal: an operator has to act, and asking faster does not help.
        leave_s: for the last request, after which the agent ends without an answer.
    """

    refresh_s: float = 60.0
    unlinked_first_s: float = 2.0
    unlinked_max_s: float = 15.0
    after_publish_s: tuple[float, ...] = (3.0, 5.0, 8.0)
    first_pause_s: float = 0.5
    max_pause_s: float = 3.0
    start_s: float = 15.0
    refused_pause_s: float = 30.0
    leave_s: float = 2.0


@dataclass(frozen=True, slots=True)
class LinkTiming:
    """Timers of dialling an edge again.

    Args:
        first_pause_s: before the first retry.
        max_pause_s: between retries, at most.
        healthy_s: a link that lasted this long was a success: the next retry is a first one.
        first_udp_s: until UDP is tried again for the first time, while a link goes over TCP.
        max_udp_s: between these tries, at most.
        silence_check_s: between looks at whether an edge answers on its link over QUIC; doubled after
            each failed try to reach it over TCP.
        notice_pause_s: between two requests to the hub, at least, because edges say that it lists others.
        session: of the links themselves.
    """

    first_pause_s: float = 0.5
    max_pause_s: float = 30.0
    healthy_s: float = 60.0
    first_udp_s: float = 60.0
    max_udp_s: float = 600.0
    silence_check_s: float = 1.0
    notice_pause_s: float = 3.0
    session: SessionTiming = DEFAULT_SESSION_TIMING


@dataclass(frozen=True, slots=True)
class OriginTiming:
    """Timers of a connection to an origin.

    Args:
        unacknowledged_s: for which an origin may acknowledge nothing of what was sent to it.
        check_s: between looks at what origins acknowledge.
    """

    unacknowledged_s: float = 15.0
    check_s: float = 3.0


@dataclass(frozen=True, slots=True)
class PublicTiming:
    """Timers of the check of public certificates.

    Args:
        every_s: between checks, as a rule.
        retry_s: between checks while one differs, or cannot be seen.
        timeout_s: of one name.
    """

    every_s: float = 600.0
    retry_s: float = 30.0
    timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Timers of the whole process."""

    hub: HubTiming = field(default_factory=HubTiming)
    links: LinkTiming = field(default_factory=LinkTiming)
    origins: OriginTiming = field(default_factory=OriginTiming)
    public: PublicTiming = field(default_factory=PublicTiming)


DEFAULT_TIMING = Timing()
