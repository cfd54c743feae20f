"""Orders of certificates by ACME (RFC 8555), one after the other in each thread that calls.

Importing this takes the library and its HTTP client: an edge does so once it has an account to use.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast, override

import requests
from acme import challenges, client, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from towonel.edge.certificates.acme.authority import Authority, OrderError
from towonel.edge.certificates.acme.challenge import (
    encode_key,
    make_challenge_certificate,
    make_request,
)
from towonel.edge.credentials import read_clock
from towonel.runtime import secretfile
from towonel.runtime.secretfile import SecretFileError

type Present = Callable[[bytes | None], None]  # shows a challenge's certificate, or no more

ACCOUNT_KEY: Final = "acme-account.key"
ACCOUNT: Final = "acme-account.json"
_POLL_S: Final = 0.5
_USER_AGENT: Final = "towonel-edge"
_RATE_LIMITED: Final = "rateLimited"
_NO_ACCOUNT: Final = "accountDoesNotExist"


@challenges.ChallengeResponse.register
class TlsAlpn01Response(challenges.KeyAuthorizationChallengeResponse):
    """Response to a challenge TLS-ALPN-01, which the library has no more."""

    typ = "tls-alpn-01"


@challenges.Challenge.register
class TlsAlpn01(challenges.KeyAuthorizationChallenge):
    """Challenge TLS-ALPN-01."""

    response_cls = TlsAlpn01Response
    typ = response_cls.typ

    @override
    def validation(self, account_key: JWK, **_: Any) -> str:
        """Return what the certificate proves."""
        return self.key_authorization(account_key)


@dataclass(frozen=True, slots=True)
class _Account:
    """Account: its key, and the address that the authority knows it by."""

    key: JWKEC
    directory: messages.Directory
    uri: str


class Orders:
    """Orders of one account, which is made when the first one begins.

    Args:
        authority: whom certificates are ordered from.
        folder: of the account's files.
        order_s: that an order may take.
        request_s: that the authority may take for an answer.
    """

    def __init__(
        self, authority: Authority, folder: Path, order_s: float = 90.0, request_s: float = 15.0
    ) -> None:
        self._authority = authority
        self._folder = folder
        self._order_s = order_s
        self._request_s = request_s
        self._opening = threading.Lock()
        self._account: _Account | None = None

    def order(self, name: str, present: Present) -> tuple[bytes, bytes]:
        """Order a certificate for a name, and return its chain and key as PEM; this waits.

        Raises:
            OrderError: there is none.
        """
        try:
            return self._order_by_account(name, present)
        except messages.Error as error:
            raise _to_error(error) from error
        except errors.Error as error:
            raise OrderError(f"{type(error).__name__}: {error}") from error
        except (requests.RequestException, JoseError, ValueError) as error:
            raise OrderError(f"no answer of the authority: {error}") from error
        except (OSError, SecretFileError) as error:
            raise OrderError(f"the account cannot be stored: {error}") from error
        finally:
            present(None)

    def _order_by_account(self, name: str, present: Present) -> tuple[bytes, bytes]:
        """Order, and make the account again first if the authority has lost it."""
        try:
            return self._order(name, present)
        except messages.Error as error:
            if error.code != _NO_ACCOUNT:
                raise
        self._forget_account()
        return self._order(name, present)

    def _order(self, name: str, present: Present) -> tuple[bytes, bytes]:
        account = self._open_account()
        acme = client.ClientV2(account.directory, self._make_network(account.key))
        acme.net.account = _to_resource(account.uri)
        key = ec.generate_private_key(ec.SECP256R1())
        until = time.monotonic() + self._order_s
        order = cast("Any", acme.new_order(make_request(name, key)))  # whose fields have no types
        for authorization in order.authorizations:
            if authorization.body.status != messages.STATUS_VALID:
                self._prove(acme, name, authorization, present, until)
        order = cast("Any", acme.begin_finalization(order))
        left = timedelta(seconds=max(until - time.monotonic(), 1.0))
        order = acme.poll_finalization(order, datetime.fromtimestamp(time.time_ns() / 1e9) + left)  # noqa: DTZ006 as it compares
        return order.fullchain_pem.encode(), encode_key(key)

    def _prove(
        self,
        acme: client.ClientV2,
        name: str,
        authorization: Any,
        present: Present,
        until: float,
    ) -> None:
        """Answer the challenge of a name, and wait for what the authority has seen."""
        offered = [
            each for each in authorization.body.challenges if each.chall.typ == TlsAlpn01.typ
        ]
        if not offered:
            raise OrderError(f"the authority offers no {TlsAlpn01.typ} for {name}")
        response, proof = offered[0].chall.response_and_validation(acme.net.key)
        present(make_challenge_certificate(name, proof, read_clock()))
        acme.answer_challenge(offered[0], response)
        while True:
            authorization = cast("Any", acme.poll(authorization)[0])
            status = authorization.body.status
            if status == messages.STATUS_VALID:
                return
            if status not in (messages.STATUS_PENDING, messages.STATUS_PROCESSING):
                raise OrderError(_find_reason(authorization, name))
            if time.monotonic() >= until:
                raise OrderError(f"the authority has not looked at {name} in time")
            time.sleep(_POLL_S)

    # The account.

    def _open_account(self) -> _Account:
        with self._opening:
            if self._account is None:
                self._account = self._load_account()
            return self._account

    def _load_account(self) -> _Account:
        pem = secretfile.load_or_create(
            self._folder / ACCOUNT_KEY, lambda: encode_key(ec.generate_private_key(ec.SECP256R1()))
        )
        key = JWKEC(key=load_pem_private_key(pem, password=None))
        network = self._make_network(key)
        directory = client.ClientV2.get_directory(self._authority.directory, network)
        uri = self._find_uri(pem) or self._register(client.ClientV2(directory, network), key, pem)
        return _Account(key, directory, uri)

    def _find_uri(self, pem: bytes) -> str | None:
        """Return the address of the account that is stored, if it is this key's and authority's."""
        try:
            stored = json.loads((self._folder / ACCOUNT).read_bytes())
            same = stored["directory"] == self._authority.directory and stored["key"] == _hash(pem)
            return str(stored["uri"]) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _register(self, acme: client.ClientV2, key: JWKEC, pem: bytes) -> str:
        authority = self._authority
        binding = None
        if authority.binding is not None:
            kid, hmac_key = authority.binding
            binding = messages.ExternalAccountBinding.from_data(
                key.public_key(), kid, hmac_key, acme.directory
            )
        registration = messages.NewRegistration.from_data(
            email=authority.email, terms_of_service_agreed=True, external_account_binding=binding
        )
        try:
            uri = str(acme.new_account(registration).uri)
        except errors.ConflictError as error:  # it is there already
            uri = str(error.location)
        stored = {"directory": authority.directory, "key": _hash(pem), "uri": uri}
        secretfile.replace(self._folder / ACCOUNT, json.dumps(stored).encode())
        return uri

    def _forget_account(self) -> None:
        """Register again next time: the authority has lost the account."""
        with self._opening:
            self._account = None
            (self._folder / ACCOUNT).unlink(missing_ok=True)

    def _make_network(self, key: JWKEC) -> client.ClientNetwork:
        root = self._authority.root
        return client.ClientNetwork(
            key,
            alg=ES256,
            verify_ssl=True if root is None else str(root),  # type: ignore[arg-type]  # as requests takes it
            user_agent=_USER_AGENT,
            timeout=int(self._request_s),
        )


def _hash(pem: bytes) -> str:
    return hashlib.sha256(pem).hexdigest()


def _to_resource(uri: str) -> messages.RegistrationResource:
    return messages.RegistrationResource(uri=uri, body=messages.Registration())


def _to_error(error: messages.Error) -> OrderError:
    reason = f"{error.code or error.typ}: {error.detail}"
    return OrderError(reason, is_rate_limited=error.code == _RATE_LIMITED)


def _find_reason(authorization: Any, name: str) -> str:
    for each in authorization.body.challenges:
        if each.error is not None:
            return f"{each.error.code or each.error.typ}: {each.error.detail}"
    return f"the authority has found {name} {authorization.body.status}"
