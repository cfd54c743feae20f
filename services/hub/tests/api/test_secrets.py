"""Secrets stay where they belong: not in logs, not in what objects print, not in errors."""

import io

import pytest
import structlog
from support.hub import OPERATOR_KEY, TestHub, new_key, state, tenant_of

from towonel.api.agents import BootstrapIn, LeaveIn, RefreshIn
from towonel.api.edge_invites import EdgeInviteOut
from towonel.api.invites import InviteIn, InviteOut
from towonel.hub.backup import copy
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_read_only
from towonel.hub.store.tables import EdgeInviteRow
from towonel.runtime.logs import Redactor
from towonel.wire import base64url
from towonel.wire.errors import Denied
from towonel.wire.tokens import SECRET_MARKS, EdgeToken, InviteToken


@pytest.fixture
def log() -> io.StringIO:
    """All that is logged, at every level, as the process would write it."""
    written = io.StringIO()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            Redactor(SECRET_MARKS),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        logger_factory=structlog.WriteLoggerFactory(file=written),
        cache_logger_on_first_use=False,
    )
    return written


async def live(hub: TestHub) -> list[str]:
    """Do a bit of everything, right and wrong; returns what must stay secret."""
    client = hub.client()
    created = await client.invites.create(InviteIn(hostnames=["a.eu"]))
    token, agent = InviteToken.decode(created.token), new_key()
    edge = EdgeToken.decode((await client.edge_invites.create()).token)
    welcome = await client.bootstrap(token, agent, "g")
    await client.apply_desired_state(tenant_of(token), state("a.eu"))
    assert welcome.grant
    await client.refresh(base64url.decode(welcome.grant), agent)
    wrong = InviteToken(token.hub_url, token.invite_id, bytes([7]) * 32, token.seed)
    with pytest.raises(Denied):
        await client.bootstrap(wrong, agent, "g")
    with pytest.raises(Denied):
        await hub.client("wrong-operator-key").invites.list()
    raw = (token.secret, token.seed, wrong.secret, edge.secret, edge.seed)
    texts = [encoded for part in raw for encoded in (base64url.encode(part), part.hex())]
    return [*texts, created.token, welcome.grant, OPERATOR_KEY, "wrong-operator-key"]


async def test_a_log_at_its_loudest_holds_no_secret(hub: TestHub, log: io.StringIO) -> None:
    secret = await live(hub)

    assert log.getvalue().count("request.answered") == 7
    assert "request.refused" in log.getvalue()
    assert [text for text in secret if text in log.getvalue()] == []


async def test_a_crash_is_logged_without_what_was_being_written(
    hub: TestHub, log: io.StringIO
) -> None:
    created = await hub.client().invites.create(InviteIn(hostnames=["a.eu"]))
    hub.context.store._committed = None  # type: ignore[assignment] # a write of routes will crash
    headers = {"authorization": f"Bearer {OPERATOR_KEY}"}
    async with hub.raw() as http:
        answer = await http.delete(f"/v1/invites/{created.invite_id}", headers=headers)

    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in log.getvalue()
    assert "request.crashed" in log.getvalue()
    assert hub.context.metrics.requests.labels("/v1/invites/{invite_id}", "500")._value.get() == 1
    assert OPERATOR_KEY not in log.getvalue()


async def test_a_database_error_does_not_show_its_values(hub: TestHub) -> None:
    async def write() -> None:
        row = EdgeInviteRow(
            invite_id=bytes(16), name="x", secret_hash=b"top-secret", edge_id=b"e", created_at_ms=0
        )
        async with hub.context.store.write() as change:
            change.session.add(row)

    await write()
    with pytest.raises(RuntimeError, match=r"Integrity|Unique") as caught:
        await write()
    assert "top-secret" not in str(caught.value)


def test_models_do_not_print_their_secrets() -> None:
    displayed = [
        InviteOut(
            token="tt_inv_2_hush", invite_id="", tenant_id="0" * 64, name="", expires_at_ms=None
        ),
        EdgeInviteOut(token="hush", invite_id="", name="", edge_node_id="0" * 64),
        BootstrapIn(invite_id="AA", invite_secret="hush"),
        RefreshIn(grant="hush"),
        LeaveIn(grant="hush"),
    ]

    assert [model for model in displayed if "hush" in repr(model) or "hush" in str(model)] == []


async def test_the_database_keeps_hashes_and_no_secret(hub: TestHub, database: Database) -> None:
    created = InviteToken.decode(
        (await hub.client().invites.create(InviteIn(hostnames=["a.eu"]))).token
    )
    with open_read_only(database) as connection:
        content = copy.content_of(connection)
        rows = [row for name in content.columns for row in content.rows(name)]
    dump = "\n".join(value.hex() for row in rows for value in row if isinstance(value, bytes))

    assert created.invite_id.hex() in dump
    assert created.secret.hex() not in dump
    assert created.seed.hex() not in dump
