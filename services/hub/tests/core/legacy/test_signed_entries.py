"""A tenant's log: what it leaves, compared with a model, and how short it can be kept."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.api.services import ServiceIn
from towonel.hub.core.legacy.signed_entries import (
    TenantState,
    apply,
    check_sequence,
    normalize,
    removes,
    replay,
    services_of,
    subject_of,
    supersedes,
)
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import AgentId
from towonel.wire.legacy.ops import (
    DeleteHostname,
    DeleteTcpService,
    DeleteUdpService,
    EntryTlsMode,
    Op,
    RevokeAgent,
    SetHostnameTls,
    UpsertAgent,
    UpsertHostname,
    UpsertTcpService,
    UpsertUdpService,
)
from towonel.wire.routes import TlsMode

HOSTNAMES = st.sampled_from(["a.eu", "*.a.eu"])
AGENTS = st.sampled_from([AgentId(b"a" * 32), AgentId(b"b" * 32)])
SERVICES, PORTS = st.sampled_from(["ssh", "db"]), st.sampled_from([2000, 3000])
MODES: list[EntryTlsMode] = [TlsMode.PASSTHROUGH, TlsMode.TERMINATE]
OPS: st.SearchStrategy[Op] = st.one_of(
    st.builds(UpsertHostname, HOSTNAMES),
    st.builds(DeleteHostname, HOSTNAMES),
    st.builds(SetHostnameTls, HOSTNAMES, st.sampled_from(MODES)),
    st.builds(UpsertAgent, AGENTS),
    st.builds(RevokeAgent, AGENTS),
    st.builds(UpsertTcpService, SERVICES, PORTS),
    st.builds(DeleteTcpService, SERVICES),
    st.builds(UpsertUdpService, SERVICES, PORTS),
    st.builds(DeleteUdpService, SERVICES),
)
LOGS = st.lists(OPS, max_size=25)
WEB, NO_WEB = UpsertHostname("a.eu"), DeleteHostname("a.eu")
TERMINATED = SetHostnameTls("a.eu", TlsMode.TERMINATE)


@dataclass
class Model:
    """Inventory §6.1, word for word."""

    hostnames: set[str] = field(default_factory=set)
    tls: dict[str, EntryTlsMode] = field(default_factory=dict)
    agents: set[AgentId] = field(default_factory=set)
    ports: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, op: Op) -> None:
        match op:
            case UpsertHostname(name):
                self.hostnames.add(name)
            case DeleteHostname(name):
                self.hostnames.discard(name)
                self.tls.pop(name, None)
            case SetHostnameTls(name, mode):
                self.tls[name] = mode
            case UpsertAgent(agent):
                self.agents.add(agent)
            case RevokeAgent(agent):
                self.agents.discard(agent)
            case _:
                self.add_service(op)

    def add_service(self, op: Op) -> None:
        match op:
            case UpsertTcpService(name, port):
                self.ports["tcp", name] = port
            case UpsertUdpService(name, port):
                self.ports["udp", name] = port
            case DeleteTcpService(name):
                self.ports.pop(("tcp", name), None)
            case DeleteUdpService(name):
                self.ports.pop(("udp", name), None)
            case _:
                raise AssertionError(op)

    def same_as(self, state: TenantState) -> bool:
        ports = {("tcp", name): port for name, port in state.tcp_ports.items()}
        ports |= {("udp", name): port for name, port in state.udp_ports.items()}
        found = (set(state.hostnames), dict(state.tls_modes), set(state.agents), ports)
        return found == (self.hostnames, self.tls, self.agents, self.ports)


@pytest.mark.branches
@given(LOGS)
def test_a_log_leaves_what_the_model_says_however_it_is_replayed(log: list[Op]) -> None:
    model, state = Model(), TenantState()
    for op in log:
        before = dict(state.ops)
        after = apply(state, op)
        assert state.ops == before
        model.add(op)
        state = after

    assert model.same_as(state)
    assert replay(log) == state


def compact(log: list[Op]) -> list[Op]:
    """Return the ops that a store has to keep: those of the state, and the newest of all."""
    return [*replay(log).ops.values(), *(op for op in log[-1:] if removes(op))]


@given(LOGS)
def test_a_compacted_log_leaves_the_same_and_ends_the_same(log: list[Op]) -> None:
    short = compact(log)

    assert replay(short) == replay(log)
    assert short[-1:] == log[-1:]
    assert compact(short) == short


@pytest.mark.branches
@given(LOGS)
def test_a_compacted_log_is_no_longer_than_what_the_tenant_has(log: list[Op]) -> None:
    short = compact(log)
    subjects = [subject_of(op) for op in short]

    assert len(set(subjects)) == len(subjects)
    assert not any(removes(op) for op in short[:-1])
    assert len(short) <= len(replay(log).ops) + 1


@given(LOGS)
def test_a_store_that_drops_what_each_entry_supersedes_keeps_the_compacted_log(
    log: list[Op],
) -> None:
    stored: list[Op] = []
    for op in log:
        retained = [
            old for old in stored if subject_of(old) not in supersedes(op) and not removes(old)
        ]
        stored = [*retained, op]

    assert stored == compact(log)


def test_every_op_has_a_subject_that_upsert_and_delete_share() -> None:
    agent = AgentId(b"\x01" * 32)
    pairs: list[tuple[Op, Op, str]] = [
        (WEB, NO_WEB, "hostname:a.eu"),
        (UpsertAgent(agent), RevokeAgent(agent), "agent:" + "01" * 32),
        (UpsertTcpService("ssh", 1), DeleteTcpService("ssh"), "tcp:ssh"),
        (UpsertUdpService("ssh", 1), DeleteUdpService("ssh"), "udp:ssh"),
    ]

    assert [(subject_of(one), subject_of(two)) for one, two, _ in pairs] == [
        (s, s) for *_, s in pairs
    ]
    assert [(removes(one), removes(two)) for one, two, _ in pairs] == [(False, True)] * 4
    assert subject_of(TERMINATED) == "tls:a.eu"
    assert not removes(TERMINATED)
    assert supersedes(NO_WEB) == ("hostname:a.eu", "tls:a.eu")
    assert supersedes(WEB) == ("hostname:a.eu",)


def test_a_hostname_that_comes_back_has_lost_its_tls_mode() -> None:
    log: list[Op] = [WEB, TERMINATED, NO_WEB, WEB]

    assert compact(log) == [WEB]
    assert services_of(replay(log))[0].tls_mode == "passthrough"


@pytest.mark.parametrize(("last", "sequence"), [(None, 0), (None, 2**63 - 1), (0, 1), (3, 9)])
def test_a_sequence_above_all_others_may_follow(last: int | None, sequence: int) -> None:
    check_sequence(last, sequence)


@pytest.mark.parametrize(("last", "sequence"), [(0, 0), (5, 5), (5, 4), (2**63 - 1, 0)])
def test_a_sequence_used_already_or_left_out_is_refused(last: int, sequence: int) -> None:
    with pytest.raises(Denied, match=f"{last} was used already") as caught:
        check_sequence(last, sequence)

    assert caught.value.code is Code.SEQUENCE_CONFLICT


@pytest.mark.branches
@given(st.lists(st.integers(0, 50), max_size=30))
def test_the_sequences_taken_are_those_that_top_all_before(sent: list[int]) -> None:
    last, taken = None, []
    for sequence in sent:
        try:
            check_sequence(last, sequence)
        except Denied:
            continue
        taken.append(sequence)
        last = sequence

    assert taken == [s for at, s in enumerate(sent) if all(s > old for old in sent[:at])]


@pytest.mark.parametrize("kind", [UpsertHostname, DeleteHostname])
def test_hostnames_are_compared_in_lower_case(
    kind: type[UpsertHostname] | type[DeleteHostname],
) -> None:
    assert normalize(kind("App.Example.EU")) == kind("app.example.eu")


def test_other_ops_are_taken_as_they_are() -> None:
    ops: list[Op] = [
        TERMINATED,
        UpsertAgent(AgentId(bytes(32))),
        RevokeAgent(AgentId(bytes(32))),
        UpsertTcpService("SSH", 1),
        DeleteTcpService("SSH"),
        UpsertUdpService("SSH", 65_535),
        DeleteUdpService("SSH"),
    ]

    assert [normalize(op) for op in ops] == ops
    assert normalize(SetHostnameTls("A.eu", TlsMode.TERMINATE)) == TERMINATED


@pytest.mark.parametrize(
    "op",
    [
        UpsertHostname("a b.eu"),
        DeleteHostname("single"),
        SetHostnameTls("a.*.eu", TlsMode.TERMINATE),
        UpsertTcpService("", 2222),
        DeleteTcpService("x" * 65),
        UpsertUdpService("a\nb", 2222),
        DeleteUdpService(" x"),
        UpsertTcpService("ssh", 0),
        UpsertUdpService("ssh", 0),
    ],
)
def test_names_and_ports_that_break_a_rule_are_refused(op: Op) -> None:
    with pytest.raises(ProtocolError) as caught:
        normalize(op)

    assert caught.value.code is Code.BAD_NAME


def test_an_agent_whose_id_is_no_public_key_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not an Ed25519 public key") as caught:
        normalize(UpsertAgent(AgentId(b"\x02" + bytes(31))))

    assert caught.value.code is Code.BAD_NAME


def test_a_state_publishes_hostnames_and_services() -> None:
    unpublished = SetHostnameTls("not.published.eu", TlsMode.TERMINATE)
    state = replay(
        [
            UpsertUdpService("ssh", 3000),
            UpsertTcpService("ssh", 2000),
            UpsertTcpService("ssh", 2002),
            UpsertTcpService("db", 2001),
            UpsertAgent(AgentId(bytes(32))),
            UpsertHostname("b.eu"),
            WEB,
            TERMINATED,
            unpublished,
        ]
    )

    assert services_of(state) == [
        ServiceIn(kind="https", name="a.eu", tls_mode="terminate"),
        ServiceIn(kind="https", name="b.eu"),
        ServiceIn(kind="tcp", name="db", port=2001),
        ServiceIn(kind="tcp", name="ssh", port=2002),
        ServiceIn(kind="udp", name="ssh", port=3000),
    ]
    assert services_of(TenantState()) == []
