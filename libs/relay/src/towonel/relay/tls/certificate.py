"""Certificates for TLS contexts, which the library takes from files only: from memory, never from a disk."""

import os
import ssl


def load_certificate(context: ssl.SSLContext, pem: bytes) -> None:
    """Load a chain of certificates, its own one first, and the private key.

    Raises:
        OSError: they cannot be used, or do not belong together.
    """
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
