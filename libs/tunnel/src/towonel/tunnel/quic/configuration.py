"""Configuration of aioquic at each end."""

import logging

from aioquic.quic.configuration import QuicConfiguration
from aioquic.tls import load_pem_private_key, load_pem_x509_certificates

from towonel.identity.certs import encode_private_key
from towonel.identity.keys import NodeKey
from towonel.tunnel.core.bounds.receive_windows import AGENT_SIZES, EDGE_SIZES
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.quic.bounded_connection import BoundedConnection, MakeResetToken
from towonel.wire.addresses import EDGE_SERVER_NAME

ALPN = "towonel/1"
STREAMS_ALLOWED = 4096  # by an agent: four times what an edge opens, so that none ever waits

# aioquic logs every lost packet and closed connection; what matters of it is in `CloseReason`.
logging.getLogger("quic").setLevel(logging.CRITICAL)


def edge_configuration(
    key: NodeKey, certificate_pem: str, timing: Timing = DEFAULT_TIMING
) -> QuicConfiguration:
    """Return the server's configuration."""
    configuration = _configuration(timing, is_client=False)
    configuration.certificate = load_pem_x509_certificates(certificate_pem.encode())[0]
    configuration.private_key = load_pem_private_key(encode_private_key(key))
    return configuration


def edge_connection(
    configuration: QuicConfiguration,
    original_id: bytes,
    retry_id: bytes,
    make_reset_token: MakeResetToken,
) -> BoundedConnection:
    """Return a server for one client, which may open no stream."""
    return BoundedConnection(
        configuration,
        EDGE_SIZES,
        streams=0,
        make_reset_token=make_reset_token,
        original_id=original_id,
        retry_id=retry_id,
    )


def agent_connection(certificate_pem: str, timing: Timing = DEFAULT_TIMING) -> BoundedConnection:
    """Return a client that trusts exactly one certificate."""
    configuration = _configuration(timing, is_client=True)
    configuration.server_name = EDGE_SERVER_NAME
    configuration.cadata = certificate_pem.encode()
    return BoundedConnection(configuration, AGENT_SIZES, streams=STREAMS_ALLOWED)


def _configuration(timing: Timing, *, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(alpn_protocols=[ALPN], is_client=is_client, idle_timeout=timing.idle_s)
