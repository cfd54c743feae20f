"""Client of an ACME authority (RFC 8555): what the library `acme` has not, or waits too long for.

Importing this takes the library and its HTTP client: an edge does so once it has an account to use.
"""

import base64
from typing import Any, Final, cast, override

import requests
from acme import challenges, client, errors, messages
from cryptography import x509
from josepy.json_util import field
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC
from requests.adapters import HTTPAdapter

from towonel.edge.certificates.acme.authority import Authority

_USER_AGENT: Final = "towonel-edge"
_OF_THE_ACCOUNT: Final = ("accountDoesNotExist", "rateLimited")
MAX_ANSWER_BYTES: Final = 256 * 1024
_PART_BYTES: Final = 16 * 1024
_NONCES: Final = 6  # of two tries each, as the library has them


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


class _Replacement(messages.NewOrder):
    """New order, for a certificate in the place of another."""

    replaces: str = field("replaces", omitempty=True)


class _Adapter(HTTPAdapter):
    """Adapter whose answers are read whole, up to a size; headers have a bound of their own."""

    @override
    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        content = bytearray()
        for part in response.iter_content(_PART_BYTES):
            content += part
            if len(content) > MAX_ANSWER_BYTES:
                response.close()
                raise requests.exceptions.ContentDecodingError(
                    f"the answer has more than {MAX_ANSWER_BYTES} bytes"
                )
        response._content = bytes(content)  # noqa: SLF001 as the library keeps what was read
        return response


class Network(client.ClientNetwork):
    """Network of one thread, which bounds each answer, and takes a new nonce where one is refused."""

    def __init__(self, authority: Authority, key: JWKEC, request_s: float) -> None:
        root = authority.root
        super().__init__(
            key,
            alg=ES256,
            verify_ssl=True if root is None else str(root),  # type: ignore[arg-type]  # as requests takes it
            user_agent=_USER_AGENT,
            timeout=int(request_s),
        )
        self.session.mount("https://", _Adapter())
        del self.session.adapters["http://"]  # to where an authority must not redirect

    @override
    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(_NONCES - 1):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


class Client(client.ClientV2):
    """Client of an authority, for one thread."""

    def begin_order(
        self, request_pem: bytes, name: str, replaced: x509.Certificate | None
    ) -> messages.OrderResource:
        """Return a new order of a name, in the place of a certificate if the authority knows what that is."""
        identifier = None if replaced is None else self._find_identifier(replaced)
        if identifier is not None:
            try:
                return self._replace(request_pem, name, identifier)
            except errors.ConflictError:  # it is replaced already
                pass
            except messages.Error as error:  # it is not that account's, for example
                if error.code in _OF_THE_ACCOUNT:
                    raise
        return self.new_order(request_pem)

    def _replace(self, request_pem: bytes, name: str, identifier: str) -> messages.OrderResource:
        names = [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name)]
        wish = _Replacement(identifiers=names, replaces=identifier)
        response = self._post(self.directory["newOrder"], wish)
        body: Any = messages.Order.from_json(response.json())
        authorizations = [
            self._authzr_from_response(self._post_as_get(url), uri=url)
            for url in body.authorizations
        ]
        uri = response.headers.get("Location")
        return messages.OrderResource(
            body=body, uri=uri, authorizations=authorizations, csr_pem=request_pem
        )

    def poll_order(self, order: messages.OrderResource) -> messages.OrderResource:
        """Return an order as it is now."""
        response = self._post_as_get(cast("Any", order).uri)
        polled: messages.OrderResource = order.update(
            body=messages.Order.from_json(response.json())
        )
        return polled

    def fetch_chain(self, url: str) -> bytes:
        """Return the certificate that was issued, with its chain, as PEM."""
        return self._post_as_get(url).text.encode()

    # Renewal information, RFC 9773.

    def fetch_renewal(self, certificate: x509.Certificate) -> requests.Response | None:
        """Return what the authority answers about the renewal of a certificate; None where it does not say."""
        identifier = self._find_identifier(certificate)
        if identifier is None:
            return None
        url = f"{self.directory['renewalInfo'].rstrip('/')}/{identifier}"
        return self.net.get(url, content_type="application/json")

    def _find_identifier(self, certificate: x509.Certificate) -> str | None:
        """Return what names a certificate to an authority that has renewal information."""
        if not hasattr(self.directory, "renewalInfo"):
            return None
        try:
            extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        except x509.ExtensionNotFound:
            return None
        return make_identifier(extension.value.key_identifier or b"", certificate.serial_number)


def make_identifier(authority_key: bytes, serial: int) -> str:
    """Return the identifier of a certificate: its authority's key and its serial number, as DER has that.

    Source: RFC 9773 §4.1.
    """
    number = serial.to_bytes(serial.bit_length() // 8 + 1)  # a leading zero keeps it positive
    parts = (base64.urlsafe_b64encode(part) for part in (authority_key, number))
    return ".".join(part.rstrip(b"=").decode() for part in parts)
