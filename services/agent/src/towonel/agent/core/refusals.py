"""Refusals that an agent meets, of its hub and of edges: what each code means, and what to do."""

from collections.abc import Mapping, Sequence

from towonel.wire.errors import Code, TowonelError

_NEW_INVITE = (
    "set TOWONEL_INVITE_TOKEN to the token of a new invite (`towonel invite create`) and restart"
)
_HOSTNAMES = (
    "correct TOWONEL_AGENT_SERVICES, or give the invite the hostname (`towonel invite edit"
    " --add-hostname`)"
)
_PORTS = (
    "correct name, listen_port or listen_port_range in TOWONEL_AGENT_TCP_SERVICES or TOWONEL_AGENT_UDP_SERVICES, or have the port reserved"
    ' for this tenant (`towonel port reserve`); "auto" takes one that is'
)
_RESUME = "the hub's operator lets it serve again: `towonel tenant resume`, `towonel invite edit --serve-for`"

MAX_EDGES_NAMED = 3
_CHOICE = "TOWONEL_AGENT_EDGES, TOWONEL_AGENT_REGIONS and TOWONEL_AGENT_TRUSTED_EDGES"
_NEEDS_LANES = " Over TCP it needs lanes, and TOWONEL_AGENT_LANES is off"

# Of a request's time: a clock gets right by itself, and a replica had the same millisecond.
OF_CLOCKS = frozenset({Code.CLOCK_SKEW, Code.REPLAYED})

# Of the hub, which says in its own words what is wrong.
_FIXES: Mapping[Code, str] = {
    Code.NOT_FOUND: f"is it the hub that made the token? If it is, {_NEW_INVITE}",
    Code.UNAUTHORIZED: f"copy the whole token, or {_NEW_INVITE}",
    Code.INVITE_EXPIRED: f"{_NEW_INVITE}; `towonel invite edit --expires` extends an invite",
    Code.TENANT_REVOKED: _NEW_INVITE,
    Code.TENANT_NOT_ALLOWED: f"restart an agent that was revoked, which makes it a new one; else {_NEW_INVITE}",
    Code.GRANT_INVALID: "the agent asks for a new grant; it ends where it gets none",
    Code.GRANT_EXPIRED: "the agent asks for a new grant",
    Code.TENANT_SUSPENDED: _RESUME,
    Code.HOSTNAME_NOT_OWNED: _HOSTNAMES,
    Code.HOSTNAME_CONFLICT: _HOSTNAMES,
    Code.PORT_CONFLICT: _PORTS,
    Code.INVALID_REQUEST: "correct what the hub names, as a port in TOWONEL_AGENT_TCP_SERVICES or a name in"
    " TOWONEL_AGENT_SERVICES",
    Code.QUOTA_EXCEEDED: "publish less, or have the limit raised (`towonel invite edit --max-…`)",
}

# Of an edge, which sends its code only.
_MEANINGS: Mapping[Code, str] = {
    Code.TENANT_REVOKED: "the edge takes no agent of this tenant: it is suspended, or its invite is revoked",
    Code.GRANT_EXPIRED: "the edge's clock says that this agent's grant is over; set the clocks, as with NTP",
    Code.GRANT_INVALID: "the edge knows another hub than the one that gave this agent its grant",
    Code.HUB_UNAVAILABLE: "the edge has not heard of its hub yet",
    Code.GOING_AWAY: "the edge is stopping",
    Code.EDGE_UNKNOWN: "the hub has revoked this edge; the agent asks it which edges there are",
    Code.OVERLOADED: "more agents dial the edge at once than it takes; this one tries again",
    Code.LIMIT_EXCEEDED: "the edge has as many sessions, in all or of this tenant, as it may:"
    " TOWONEL_EDGE_MAX_SESSIONS, TOWONEL_EDGE_MAX_SESSIONS_PER_TENANT",
    Code.QUOTA_EXCEEDED: "the agents of this tenant announce more services than the edge takes:"
    " TOWONEL_EDGE_MAX_SERVICES_PER_TENANT",
    Code.RATE_LIMITED: "this agent or its tenant asks the edge too often",
    Code.SUPERSEDED: "this agent has linked to the edge again",
    Code.UNSUPPORTED_VERSION: "the edge speaks no version of the protocol that this agent speaks;"
    " upgrade the older one",
}


def find_fix(code: Code) -> str | None:
    """Return what to do about a refusal of the hub, where that is known."""
    return _FIXES.get(code)


def describe_refusal(error: TowonelError) -> str:
    """Return what the hub refuses and what to do, in one line."""
    fix = find_fix(error.code)
    return f"{error}; {fix}" if fix else str(error)


def is_silence(error: Exception) -> bool:
    """Whether nothing answered, as where UDP is blocked."""
    return not isinstance(error, TowonelError) or error.code is Code.SESSION_LOST


def describe_link_error(error: Exception, *, has_lanes: bool = True) -> str:
    """Return why there is no link, or the code's meaning where an edge sent nothing else."""
    advice = "" if has_lanes or not is_silence(error) else _NEEDS_LANES
    if isinstance(error, TowonelError):
        return (error.detail or _MEANINGS.get(error.code, "the edge refuses this agent")) + advice
    return (str(error).strip() or type(error).__name__) + advice


def explain_no_link(edges: int, failures: Sequence[str], *, left_out: int = 0) -> str:
    """Return why an agent is linked to none of so many edges.

    Args:
        edges: that it dials.
        failures: that it knows of.
        left_out: further edges of the hub that it does not choose.
    """
    if edges == 0 and left_out:
        return f"no link to any edge: of the {left_out} that the hub names {_CHOICE} choose none"
    if edges == 0:
        return "no link to any edge: the hub has named none"
    if not failures:
        return f"no link to any edge: dialling {edges}"
    rest = len(failures) - MAX_EDGES_NAMED
    named = "; ".join(failures[:MAX_EDGES_NAMED])
    return f"no link to any edge: {named}" + (f"; and {rest} more" if rest > 0 else "")


def explain_silence(silent: Sequence[str], edges: int) -> str | None:
    """Return which of the links to so many edges go over TCP, and why; None where none does."""
    if not silent:
        return None
    return f"{len(silent)} of {edges} links go over TCP ({'; '.join(sorted(set(silent)))})"
