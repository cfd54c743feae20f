"""Fixes of what keeps a certificate from being had: what the edge's operator, or the owner of the name, is to do."""

from typing import Final

NO_FILES: Final = "there are no files of it, and no authority is asked"
NOT_ORDERED: Final = "nothing has been ordered for it yet"
NO_AGENT: Final = "no agent publishes it with terminate"
ENDED: Final = "it has ended, and nothing has replaced it"
REVOKED: Final = "its certificate was revoked, and nothing is ordered until it is renewed"
UNUSABLE: Final = "its files cannot be used: "

_LOOK: Final = "Look for certificate.order_failed in the log of the edge."
# By how the reason begins; the words of ACME are those of RFC 8555 §6.7.
_FIXES: Final = (
    (
        ("dns", "does not resolve", "resolves to"),
        "Correct the DNS records of the name: they have to lead to this edge.",
    ),
    (
        ("connection", "tls", "the authority has not looked"),
        "Let port 443 of all addresses of the name, A and AAAA, lead to this edge, TLS untouched.",
    ),
    (
        ("unauthorized", "incorrectResponse"),
        "Let all addresses of the name lead to this edge; a proxy has to pass acme-tls/1 on.",
    ),
    ("caa", "Let the CAA record of the name allow this authority."),
    ("rateLimited", "Wait: the authority gives no more for now. Ask it for a higher limit."),
    (
        "rejectedIdentifier",
        "The authority gives none for this name: take another name or authority.",
    ),
    (
        "externalAccountRequired",
        "Set TOWONEL_EDGE_TLS_ACME_EAB_KEY_ID and TOWONEL_EDGE_TLS_ACME_EAB_HMAC_KEY.",
    ),
    (("userActionRequired", "malformed", "unsupportedContact"), "Follow the authority's words."),
    (
        ("no answer of the authority", "the authority has not made"),
        "See that the edge reaches the authority: TOWONEL_EDGE_TLS_ACME_DIRECTORY, …_ROOT, network.",
    ),
    (
        "the authority cannot be trusted",
        "Set the clock; of an authority of your own set TOWONEL_EDGE_TLS_ACME_ROOT.",
    ),
    ("the account cannot be stored", "See that the edge may write TOWONEL_EDGE_TLS_CERT_DIR."),
    ("the authority offers no", "Take an authority that offers tls-alpn-01."),
    (NO_AGENT, "Start an agent that publishes the name with tls_mode terminate."),
    (
        (
            *("too many were ordered", "as many certificates", "clients of "),
            "the authority takes no more",
        ),
        "Nothing: it is ordered when there is room again.",
    ),
    (
        ENDED,
        "Put newer files into TOWONEL_EDGE_TLS_CERT_DIR, or see that an agent serves the name.",
    ),
    (
        NO_FILES,
        "Put <name>.crt and <name>.key into TOWONEL_EDGE_TLS_CERT_DIR, or set …_ACME_EMAIL.",
    ),
    (NOT_ORDERED, "Nothing: it is once an agent serves the name, or for its first client."),
    (REVOKED, "towonel certificate renew <name>"),
    (UNUSABLE, "Put <name>.crt, the chain, and its <name>.key of mode 0600 there again."),
)


def find_fix(reason: str) -> str:
    """Return what to do about a reason; nothing without one."""
    if not reason:
        return ""
    return next((fix for beginnings, fix in _FIXES if reason.startswith(beginnings)), _LOOK)
