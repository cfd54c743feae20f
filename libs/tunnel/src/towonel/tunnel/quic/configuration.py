"""Configuration of aioquic at each end."""

import logging

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.tls import load_pem_private_key, load_pem_x509_certificates

from towonel.identity.certs import EDGE_SERVER_NAME, encode_private_key
from towonel.identity.keys import NodeKey
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing

ALPN = "towonel/1"
QUIC_WINDOW_BYTES = 16 * 1024 * 1024  # QUIC's own limits stay above ours, which do the work
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


def agent_connection(certificate_pem: str, timing: Timing = DEFAULT_TIMING) -> QuicConnection:
    """Return a client that trusts exactly one certificate."""
    configuration = _configuration(timing, is_client=True)
    configuration.server_name = EDGE_SERVER_NAME
    configuration.cadata = certificate_pem.encode()
    quic = QuicConnection(configuration=configuration)
    # aioquic allows 128 streams and has no setting for it. This is the one place that reaches into
    # it; test_quic.py fails when an upgrade renames the attribute.
    quic._local_max_streams_bidi.value = STREAMS_ALLOWED  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return quic


def _configuration(timing: Timing, *, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=[ALPN],
        is_client=is_client,
        idle_timeout=timing.idle_s,
        max_data=QUIC_WINDOW_BYTES,
        max_stream_data=QUIC_WINDOW_BYTES,
    )
