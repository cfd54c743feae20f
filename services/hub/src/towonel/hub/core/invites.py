"""Rules of invites: what may be asked for, and when one still counts."""

from collections.abc import Iterable
from dataclasses import dataclass

from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.names import Hostname, parse_hostname


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether an invite may be used."""

    is_revoked: bool
    expires_at_ms: int | None


def parse_patterns(hostnames: Iterable[str]) -> tuple[Hostname, ...]:
    """Return the hostnames of an invite, each once, in the order they came.

    Raises:
        Denied: INVALID_REQUEST, naming every one that breaks a rule.
    """
    patterns: dict[Hostname, None] = {}
    problems: list[str] = []
    for text in hostnames:
        try:
            patterns[parse_hostname(text.strip())] = None
        except ProtocolError as error:
            problems.append(error.detail)
    if problems:
        raise Denied(Code.INVALID_REQUEST, "; ".join(problems))
    return tuple(patterns)


def expiry_ms(expires_in_secs: int | None, now_ms: int) -> int | None:
    """Return when an invite ends; 0 and None mean never, as in the original."""
    return now_ms + expires_in_secs * 1000 if expires_in_secs else None


def check_standing(standing: Standing, *, secret_matches: bool, now_ms: int) -> None:
    """Check that an invite may be used by whoever sent this secret.

    Raises:
        Denied: UNAUTHORIZED, in the same words for a wrong secret and a revoked invite, so that
            nobody learns which; INVITE_EXPIRED only for those who know the secret.
    """
    if standing.is_revoked or not secret_matches:
        raise Denied(Code.UNAUTHORIZED, "the invite's secret is wrong, or the invite is revoked")
    if standing.expires_at_ms is not None and now_ms >= standing.expires_at_ms:
        raise Denied(Code.INVITE_EXPIRED, "the invite has expired; ask for a new one")
