"""Address validation of QUIC clients, by Retry, before any state is kept for them.

Source: RFC 9000 §8.1.2 (Retry), §6.1 (Version Negotiation).
"""

import asyncio
import secrets
from collections.abc import Callable

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
)
from aioquic.quic.retry import TOKEN_LIFETIME, QuicRetryTokenHandler

from towonel.tunnel.core.bounds.recent_ids import RecentIds
from towonel.tunnel.quic.udp import Address

RETRY_ID_BYTES = 8
MAX_SPENT_TOKENS = 32_768  # twice as many are remembered; more handshakes than a core can do


class AddressValidator:
    """Validator of the addresses from which clients connect.

    Args:
        configuration: of the edge's side of QUIC.
        send: sends a datagram.
    """

    def __init__(
        self, configuration: QuicConfiguration, send: Callable[[bytes, Address], None]
    ) -> None:
        self._versions = configuration.supported_versions
        self._send = send
        self._tokens = QuicRetryTokenHandler()
        self._loop = asyncio.get_running_loop()
        self._spent = RecentIds(TOKEN_LIFETIME, MAX_SPENT_TOKENS, self._loop.time())

    def validate(self, header: QuicHeader, address: Address) -> bytes | None:
        """Return the connection id that a client chose at first, if its address is proved.

        Another client is told the versions spoken here, or asked to try again with a token.
        """
        if header.version not in self._versions:
            self._negotiate_version(header, address)
        elif header.packet_type is QuicPacketType.INITIAL and not header.token:
            self._send_retry(header, address)
        elif header.packet_type is QuicPacketType.INITIAL:
            return self._check_token(header, address)
        return None

    def spend(self, retry_id: bytes) -> None:
        """Let the token for a connection id open no other connection."""
        self._spent.add(retry_id, self._loop.time())

    def _check_token(self, header: QuicHeader, address: Address) -> bytes | None:
        if header.destination_cid in self._spent:
            return None
        try:
            return self._tokens.validate_token(
                address=address,
                destination_cid=header.destination_cid,
                token=header.token,
                now=self._loop.time(),
            )
        except ValueError:
            return None

    def _negotiate_version(self, header: QuicHeader, address: Address) -> None:
        """Send the versions spoken here; never in answer to an answer of this kind."""
        if header.version and header.packet_type is not QuicPacketType.VERSION_NEGOTIATION:
            answer = encode_quic_version_negotiation(
                source_cid=header.destination_cid,
                destination_cid=header.source_cid,
                supported_versions=self._versions,
            )
            self._send(answer, address)

    def _send_retry(self, header: QuicHeader, address: Address) -> None:
        retry_id = secrets.token_bytes(RETRY_ID_BYTES)
        token = self._tokens.create_token(
            address=address,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=retry_id,
            now=self._loop.time(),
        )
        assert header.version is not None, "it is one of those supported"
        answer = encode_quic_retry(
            version=header.version,
            source_cid=retry_id,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )
        self._send(answer, address)
