"""Quotas of tenants."""

from dataclasses import dataclass

from towonel.wire.errors import Code, Denied, Unavailable

GRANTS_PER_AGENT = (
    10  # agents that end and start again have a new one each; nothing ends the old ones
)
AGENT_RETRY_S = 5.0  # edges report about as soon which sessions have ended


@dataclass(frozen=True, slots=True)
class Quotas:
    """Maximum number of each resource that a tenant may have.

    Args:
        services: one that several groups publish counts once.
        agents: that run at once.
        ports: published and reserved ones, each for itself.
        hostnames: of an invite.
        groups: that publish something.
        group_services: services, counted in each of its groups.
    """

    services: int = 1_000
    agents: int = 100
    ports: int = 100
    hostnames: int = 1_000
    groups: int = 32
    group_services: int = 10_000


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


def check_groups(count: int, services: int, most: Quotas) -> None:
    """Check the number of groups that publish something, and of what they publish together.

    Args:
        count: of groups, after the change.
        services: of each of them, added up.
        most: the quotas.

    Raises:
        Denied: QUOTA_EXCEEDED, with both numbers and what to do.
    """
    if count > most.groups:
        raise Denied(
            Code.QUOTA_EXCEEDED,
            f"groups: {count} are wanted, and this tenant may have {most.groups}; use one that it has,"
            " or ask the hub's operator to raise TOWONEL_HUB_QUOTA_GROUPS",
        )
    if services > most.group_services:
        raise Denied(
            Code.QUOTA_EXCEEDED,
            f"services: all groups together publish {services}, and may publish {most.group_services};"
            " use fewer groups, or ask the hub's operator to raise TOWONEL_HUB_QUOTA_GROUP_SERVICES",
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


def check_grants(valid: int, most: int) -> None:
    """Check that one more agent may have a grant, also where most that have one have ended.

    Args:
        valid: grants of other agents, whatever became of them.
        most: the quota of agents.

    Raises:
        Unavailable: RATE_LIMITED, because grants expire.
    """
    if valid >= most * GRANTS_PER_AGENT:
        raise Unavailable(
            Code.RATE_LIMITED,
            f"agents: {valid} were started whose grants are still valid, and this tenant may start"
            f" {most * GRANTS_PER_AGENT} in a day; restart agents less often, or ask the hub's operator"
            " to raise its limit `agents`",
            retry_after_s=AGENT_RETRY_S,
        )
