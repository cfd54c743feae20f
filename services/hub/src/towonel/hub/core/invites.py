"""Rules of invites: hostname patterns, expiry, the end of serving and the check of a secret."""

from collections.abc import Iterable

from towonel.api.invites import InviteState
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.names import Hostname, parse_hostname


def parse_patterns(hostnames: Iterable[str]) -> tuple[Hostname, ...]:
    """Parse the hostname patterns of an invite; duplicates are dropped, the order is kept.

    Raises:
        Denied: INVALID_REQUEST, naming every invalid pattern.
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
    """Return when an invite expires; 0 and None mean never."""
    return now_ms + expires_in_secs * 1000 if expires_in_secs else None


def is_serving_over(serves_until_ms: int | None, now_ms: int) -> bool:
    """Whether a tenant is to be served no more; None means that it is served for ever."""
    return serves_until_ms is not None and now_ms >= serves_until_ms


def invite_state(
    *,
    is_revoked: bool,
    has_ended: bool,
    expires_at_ms: int | None,
    used_at_ms: int | None,
    now_ms: int,
) -> InviteState:
    """Return what can still be done with an invite.

    Nobody can join with one that has expired; who joined before goes on being served until it has ended.
    """
    if is_revoked:
        return "revoked"
    if has_ended:
        return "ended"
    if expires_at_ms is not None and now_ms >= expires_at_ms:
        return "expired"
    return "pending" if used_at_ms is None else "used"


def check_invite(
    *, secret_matches: bool, is_revoked: bool, expires_at_ms: int | None, now_ms: int
) -> None:
    """Check that an invite may be used by a caller that sent this secret.

    Raises:
        Denied: UNAUTHORIZED, with the same message for a wrong secret and a revoked invite, so that
            a caller cannot tell them apart; INVITE_EXPIRED only if the secret is right.
    """
    if is_revoked or not secret_matches:
        raise Denied(Code.UNAUTHORIZED, "the invite's secret is wrong, or the invite is revoked")
    if expires_at_ms is not None and now_ms >= expires_at_ms:
        raise Denied(Code.INVITE_EXPIRED, "the invite has expired; ask for a new one")
