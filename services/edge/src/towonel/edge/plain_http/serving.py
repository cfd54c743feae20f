"""Serving of plain HTTP, where the settings name an address for it."""

import contextlib
import socket
from collections.abc import AsyncGenerator, Generator

from towonel.edge.core.route_table import RouteTable
from towonel.edge.data_plane.sockets import BACKLOG, bind_socket
from towonel.edge.metrics import Metrics
from towonel.edge.plain_http.server import HttpServer, HttpTiming
from towonel.edge.settings import EdgeSettings
from towonel.edge.streams.access_log import AccessLogWriter
from towonel.edge.streams.refusals import Refusals
from towonel.edge.streams.upstream import Upstream
from towonel.edge.timing import ClientTiming
from towonel.runtime.environment.ports import listen_error


class PlainHttp:
    """Plain HTTP of an edge, bound at its start, and served once it has routes.

    Args:
        settings: of the edge.
        timing: of clients.
        table, upstream, metrics, refusals, access_log: as of `HttpServer`.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        timing: ClientTiming,
        table: RouteTable,
        upstream: Upstream,
        metrics: Metrics,
        refusals: Refusals,
        access_log: AccessLogWriter,
    ) -> None:
        self._settings = settings
        self._listener: socket.socket | None = None
        self._server = HttpServer(
            *(table, upstream, metrics, refusals, access_log),
            log_share=settings.access_log,
            timing=HttpTiming(settings.handshake_timeout_s, timing.open_s, timing.linger_s),
            hub_name=settings.hub_route.name if settings.hub_route else None,
        )

    @contextlib.contextmanager
    def bind(self) -> Generator[None]:
        """Have the address for the time of the block, if one is named.

        Raises:
            SettingsError: it cannot be used.
        """
        if self._settings.http_listen is None:
            yield
            return
        host, port = self._settings.http_listen
        try:
            self._listener = bind_socket(host, port)
        except OSError as error:
            raise listen_error(
                self._settings.variable_of("http_listen"), host, port, error
            ) from error
        with self._listener:
            yield

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Serve clients for the time of the block, if there is an address."""
        if self._listener is None:
            yield
            return
        self._listener.listen(BACKLOG)
        async with self._server.run(self._listener):
            yield
