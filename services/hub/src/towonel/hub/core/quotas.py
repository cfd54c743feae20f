"""Quotas of tenants."""

from dataclasses import dataclass

from towonel.wire.errors import Code, Denied, Unavailable

AGENT_RETRY_S = 10.0  # edges report as often which sessions have ended


@dataclass(frozen=True, slots=True)
class Quotas:
    """Maximum number of each resource that a tenant may have."""

    services: int = 1_000
    agents: int = 100
    ports: int = 100
    hostnames: int = 1_000


def check_quota(what: str, count: int, most: int) -> None:
    """Check a quota.

    Args:
        what: the name of the quota: `services`, `ports`, `hostnames`.
        count: the number after the change.
        most: the maximum.

    Raises:
        Denied: QUOTA_EXCEEDED, with both numbers and what to do.
    """
    if count > most:
        raise Denied(
            Code.QUOTA_EXCEEDED,
            f"{what}: {count} are wanted, and this tenant may have {most}; the hub's operator can"
            f" raise its limit `{what}`",
        )


def check_agents(running: int, most: int) -> None:
    """Check that one more agent may run.

    Raises:
        Unavailable: RATE_LIMITED rather than a refusal, because agents that stop free their place.
    """
    if running >= most:
        raise Unavailable(
            Code.RATE_LIMITED,
            f"agents: {running} run, and this tenant may run {most}; stop one, or ask the hub's"
            " operator to raise its limit `agents`",
            retry_after_s=AGENT_RETRY_S,
        )
