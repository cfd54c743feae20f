"""Certificates of authorities that the environment names for all TLS clients, in SSL_CERT_FILE."""

from collections.abc import Mapping

VARIABLE = "SSL_CERT_FILE"
_RULE = (
    "it takes the path of a PEM file with the certificates of the authorities to trust; unset it to"
    " trust the public ones"
)


def find_certificate_problem(environ: Mapping[str, str]) -> str | None:
    """Return what is wrong with the file of authorities, if one is named."""
    path = environ.get(VARIABLE)
    if not path:
        return None
    import ssl  # noqa: PLC0415 no command should wait for it that does not need it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return f"{VARIABLE}: {path} has no certificate in PEM; {_RULE}"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return f"{VARIABLE}: cannot read {path}: {reason}; {_RULE}"
    return None
