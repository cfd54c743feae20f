"""Fixes: for each reason that there is, what to do about it."""

import pytest

from towonel.api.certificates.reports import MAX_FIX_CHARS
from towonel.edge.core.certificates import fixes
from towonel.edge.core.certificates.fixes import find_fix


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        ("dns: no A record of app.example.eu", "DNS"),
        ("resolves to 192.0.2.7, not to this edge (192.0.2.1)", "DNS"),
        ("does not resolve: no such name", "DNS"),
        ("the authority cannot be trusted, by this machine's clock (x)", "clock"),
        ("connection: refused", "port 443"),
        ("the authority has not looked at app.example.eu in time", "port 443"),
        ("unauthorized: wrong certificate", "acme-tls/1"),
        ("caa: forbidden", "CAA"),
        ("rateLimited: too many", "Wait"),
        ("externalAccountRequired: none", "EAB_KEY_ID"),
        ("no answer of the authority: timeout", "ACME_DIRECTORY"),
        (fixes.NO_FILES, "TOWONEL_EDGE_TLS_CERT_DIR"),
        (fixes.NO_AGENT, "Start an agent"),
        (fixes.NOT_ORDERED, "first client"),
        (fixes.REVOKED, "certificate renew"),
        (fixes.ENDED, "newer files"),
        (f"{fixes.UNUSABLE}is for b.eu, not for a.eu", ".key"),
        ("ZeroDivisionError: of a library", "log"),
    ],
)
def test_each_reason_has_its_fix(reason: str, part: str) -> None:
    assert part in find_fix(reason)


def test_nothing_is_to_be_done_where_all_is_well() -> None:
    assert find_fix("") == ""


def test_no_fix_is_longer_than_a_report_takes() -> None:
    assert max(len(fix) for _, fix in fixes._FIXES) <= MAX_FIX_CHARS
