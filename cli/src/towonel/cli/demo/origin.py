"""The demo's service at home: one page over HTTPS. `python -m … PORT CERTIFICATE KEY`."""

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import override

from towonel.cli.demo.plan import HOST, PAGE_TITLE

PAGE = f"""<!doctype html>
<title>{PAGE_TITLE}</title>
<h1>{PAGE_TITLE}</h1>
<p>You reached a service that listens on loopback only, through a tunnel that it dialled itself.
<p>The TLS you see ends here: the machines in between carried it, and could not read it.
""".encode()


class Page(BaseHTTPRequestHandler):
    """Answers every GET and HEAD with the page."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._head()
        self.wfile.write(PAGE)

    def do_HEAD(self) -> None:
        self._head()

    def _head(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()

    @override
    def version_string(self) -> str:
        return "home"


def main(port: str, certificate: str, key: str) -> None:
    """Serve the page until killed; the log is on standard error."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer((HOST, int(port)), Page) as server:
        # The handshake waits for the first read, in the client's own thread.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
