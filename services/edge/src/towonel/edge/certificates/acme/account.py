"""Account at an ACME authority, with its files: the key, and the address that the authority knows it by."""

import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acme import client, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from josepy.jwk import JWKEC

from towonel.edge.certificates.acme.authority import Authority
from towonel.edge.certificates.acme.challenge import encode_key
from towonel.edge.certificates.acme.client import Client, Network
from towonel.runtime import secretfile

ACCOUNT_KEY: Final = "acme-account.key"
ACCOUNT: Final = "acme-account.json"


@dataclass(frozen=True, slots=True)
class _Account:
    """Account: its key, and the address that the authority knows it by."""

    key: JWKEC
    directory: messages.Directory
    uri: str


class AccountStore:
    """Store of one account, which is made when it is first used; for any thread.

    Args:
        authority: whom certificates are ordered from.
        folder: of the account's files.
        request_s: that the authority may take for an answer.
    """

    def __init__(self, authority: Authority, folder: Path, request_s: float) -> None:
        self._authority = authority
        self._folder = folder
        self._request_s = request_s
        self._opening = threading.Lock()
        self._account: _Account | None = None

    def open(self) -> Client:
        """Return a client of the account, for this thread."""
        with self._opening:
            if self._account is None:
                self._account = self._load()
            account = self._account
        made = Client(account.directory, Network(self._authority, account.key, self._request_s))
        made.net.account = messages.RegistrationResource(
            uri=account.uri, body=messages.Registration()
        )
        return made

    def forget(self) -> None:
        """Register again next time: the authority has lost the account."""
        with self._opening:
            self._account = None
            (self._folder / ACCOUNT).unlink(missing_ok=True)

    def _load(self) -> _Account:
        pem = secretfile.load_or_create(
            self._folder / ACCOUNT_KEY, lambda: encode_key(ec.generate_private_key(ec.SECP256R1()))
        )
        key = JWKEC(key=load_pem_private_key(pem, password=None))
        network = Network(self._authority, key, self._request_s)
        directory = client.ClientV2.get_directory(self._authority.directory, network)
        uri = self._find_uri(pem) or self._register(Client(directory, network), key, pem)
        return _Account(key, directory, uri)

    def _find_uri(self, pem: bytes) -> str | None:
        """Return the address of the account that is stored, if it is this key's and authority's."""
        try:
            stored = json.loads((self._folder / ACCOUNT).read_bytes())
            same = stored["directory"] == self._authority.directory and stored["key"] == _hash(pem)
            return str(stored["uri"]) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _register(self, acme: Client, key: JWKEC, pem: bytes) -> str:
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


def _hash(pem: bytes) -> str:
    return hashlib.sha256(pem).hexdigest()
