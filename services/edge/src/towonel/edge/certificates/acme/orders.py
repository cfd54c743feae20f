"""Orders of certificates by ACME (RFC 8555), one after the other in each thread that calls."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import requests
from acme import client, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError

from towonel.edge.certificates.acme.account import AccountStore
from towonel.edge.certificates.acme.authority import Authority, OrderError, Suggestion
from towonel.edge.certificates.acme.challenge import (
    encode_key,
    make_challenge_certificate,
    make_request,
)
from towonel.edge.certificates.acme.client import Client, TlsAlpn01
from towonel.edge.core.certificates.issuance import make_window
from towonel.edge.credentials import read_clock
from towonel.runtime.secretfile import SecretFileError

type Present = Callable[[bytes], None]  # shows the certificate that answers a challenge

_FIRST_POLL_S: Final = 0.1
_MOST_POLL_S: Final = 1.0
_SLOWER: Final = 1.5
_RATE_LIMITED: Final = "rateLimited"
_NO_ACCOUNT: Final = "accountDoesNotExist"
_NOT_READY: Final = "orderNotReady"
_ALREADY_REVOKED: Final = "alreadyRevoked"
_ASK_AGAIN_S: Final = 6 * 3600  # where the authority does not say; RFC 9773 §4.3
_NEVER_SAYS_S: Final = 24 * 3600.0
_LEAST_AGAIN_S, _MOST_AGAIN_S = 60.0, 24 * 3600.0


class Orders:
    """Orders of one account.

    Args:
        authority: whom certificates are ordered from.
        folder: of the account's files.
        order_s: that an order may take.
        request_s: that the authority may take for an answer.
    """

    def __init__(
        self, authority: Authority, folder: Path, order_s: float = 90.0, request_s: float = 15.0
    ) -> None:
        self._accounts = AccountStore(authority, folder, request_s)
        self._order_s = order_s

    def order(
        self, name: str, present: Present, replaced: bytes | None = None
    ) -> tuple[bytes, bytes]:
        """Order a certificate for a name, and return its chain and key as PEM; this waits.

        Args:
            name: that it is for.
            present: shows the answer to a challenge.
            replaced: the certificate whose place it takes, as PEM.

        Raises:
            OrderError: there is none.
        """
        return _translate(lambda: self._order_by_account(name, present, replaced))

    def suggest(self, pem: bytes) -> Suggestion:
        """Return when the authority wants a certificate to be renewed; this waits.

        Raises:
            OrderError: it does not answer as it should.
        """
        return _translate(lambda: self._suggest(pem))

    def revoke(self, pem: bytes, reason: int) -> None:
        """Revoke a certificate by the account that ordered it (RFC 8555 §7.6); this waits.

        Raises:
            OrderError: the authority has not revoked it; one that is revoked already is no error.
        """
        return _translate(lambda: self._revoke(pem, reason))

    def _revoke(self, pem: bytes, reason: int) -> None:
        try:
            self._accounts.open().revoke(x509.load_pem_x509_certificate(pem), reason)
        except messages.Error as error:
            if error.code != _ALREADY_REVOKED:
                raise

    def _suggest(self, pem: bytes) -> Suggestion:
        response = self._accounts.open().fetch_renewal(x509.load_pem_x509_certificate(pem))
        if response is None:
            return Suggestion(None, _NEVER_SAYS_S)
        found: Any = messages.RenewalInfo.from_json(response.json())
        again = client.ClientV2.retry_after(response, _ASK_AGAIN_S)
        again_s = again.timestamp() - time.time_ns() / 1e9
        window = make_window(found.suggested_window.start, found.suggested_window.end)
        return Suggestion(window, min(max(again_s, _LEAST_AGAIN_S), _MOST_AGAIN_S))

    def _order_by_account(
        self, name: str, present: Present, replaced: bytes | None
    ) -> tuple[bytes, bytes]:
        """Order, and make the account again first if the authority has lost it."""
        try:
            return self._order(name, present, replaced)
        except messages.Error as error:
            if error.code != _NO_ACCOUNT:
                raise
        self._accounts.forget()
        return self._order(name, present, replaced)

    def _order(self, name: str, present: Present, replaced: bytes | None) -> tuple[bytes, bytes]:
        until = time.monotonic() + self._order_s
        acme = self._accounts.open()
        if time.monotonic() >= until:  # others were opening the account for so long
            raise OrderError("the authority has not opened the account in time")
        key = ec.generate_private_key(ec.SECP256R1())
        before = None if replaced is None else x509.load_pem_x509_certificate(replaced)
        order: Any = acme.begin_order(make_request(name, key), name, before)
        for authorization in order.authorizations:
            if authorization.body.status != messages.STATUS_VALID:
                _prove(acme, name, authorization, present, until)
        return _finalize(acme, name, order, until), encode_key(key)


def _prove(acme: Client, name: str, authorization: Any, present: Present, until: float) -> None:
    """Answer the challenge of a name, and wait for what the authority has seen."""
    offered = [each for each in authorization.body.challenges if each.chall.typ == TlsAlpn01.typ]
    if not offered:
        raise OrderError(f"the authority offers no {TlsAlpn01.typ} for {name}")
    response, proof = offered[0].chall.response_and_validation(acme.net.key)
    present(make_challenge_certificate(name, proof, read_clock()))
    acme.answer_challenge(offered[0], response)
    for _ in _pauses(until):
        authorization = cast("Any", acme.poll(authorization)[0])
        status = authorization.body.status
        if status == messages.STATUS_VALID:
            return
        if status not in (messages.STATUS_PENDING, messages.STATUS_PROCESSING):
            raise OrderError(_find_reason(authorization, name))
    raise OrderError(f"the authority has not looked at {name} in time")


def _finalize(acme: Client, name: str, order: Any, until: float) -> bytes:
    """Ask for the certificate, and return it with its chain once it is there."""
    try:
        order = acme.begin_finalization(order)
    except messages.Error as error:
        if error.code != _NOT_READY:
            raise
    for _ in _pauses(until):
        status = order.body.status
        if status == messages.STATUS_VALID and order.body.certificate:
            return acme.fetch_chain(order.body.certificate)
        if status == messages.STATUS_INVALID:
            raise OrderError(
                str(order.body.error or f"the authority has made no certificate for {name}")
            )
        if status == messages.STATUS_READY:
            order = acme.begin_finalization(order)
        else:
            order = acme.poll_order(order)
    raise OrderError(f"the authority has not made the certificate of {name} in time")


def _pauses(until: float) -> Iterator[None]:
    """Yield until a time of the monotonic clock, with pauses that grow."""
    pause_s = _FIRST_POLL_S
    while time.monotonic() < until:
        yield
        time.sleep(pause_s)
        pause_s = min(pause_s * _SLOWER, _MOST_POLL_S)


def _translate[T](call: Callable[[], T]) -> T:
    """Return what a call returns, and raise OrderError for what it raises of the library."""
    try:
        return call()
    except messages.Error as error:
        raise _to_error(error) from error
    except errors.Error as error:
        raise OrderError(f"{type(error).__name__}: {error}") from error
    except requests.exceptions.SSLError as error:
        clock = read_clock().isoformat(timespec="seconds")
        reason = f"the authority cannot be trusted, by this machine's clock ({clock}): {error}"
        raise OrderError(reason) from error
    except (requests.RequestException, JoseError, ValueError) as error:
        raise OrderError(f"no answer of the authority: {error}") from error
    except (OSError, SecretFileError) as error:
        raise OrderError(f"the account cannot be stored: {error}") from error


def _to_error(error: messages.Error) -> OrderError:
    reason = f"{error.code or error.typ}: {error.detail}"
    return OrderError(reason, is_rate_limited=error.code == _RATE_LIMITED)


def _find_reason(authorization: Any, name: str) -> str:
    for each in authorization.body.challenges:
        if each.error is not None:
            return f"{each.error.code or each.error.typ}: {each.error.detail}"
    return f"the authority has found {name} {authorization.body.status}"
