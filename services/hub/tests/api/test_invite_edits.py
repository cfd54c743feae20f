"""A live invite is edited: its token stays good, and routes follow at once."""

from datetime import UTC, datetime, timedelta

import pytest
from support.callers import (
    OPERATOR,
    body_of,
    code_of,
    invite_id,
    publish,
    publish_ports,
    refusal,
    served,
    tenant_id,
)
from support.hub import TestHub, new_key

from towonel.api.invites import HostnamesIn, InviteEdit
from towonel.api.limits import Limits
from towonel.api.ports import PortRange, Protocol, ReservationIn
from towonel.wire.errors import Code


def ports(protocol: Protocol, first: int, last: int) -> PortRange:
    return PortRange(protocol=protocol, first_port=first, last_port=last)


async def test_every_field_is_changed_and_those_that_are_not_sent_stay(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu", "b.eu"), hub.client()
    await client.invites.update(invite_id(token), InviteEdit(name=" home ", hostnames=["c.eu"]))
    at = datetime.fromtimestamp(hub.clock.now_ms / 1000 + 86_400, UTC)
    retained = [ports("tcp", 2222, 2222), ports("udp", 5000, 5009)]
    edit = InviteEdit(expires_at=at, ports=retained, limits=Limits(services=3, ports=20))
    changed = (await client.invites.update(invite_id(token), edit)).value
    edit = InviteEdit(expires_at=None, ports=retained[1:], limits=Limits(services=None))
    changed_again = (await client.invites.update(invite_id(token), edit)).value

    assert (changed.name, changed.hostnames, changed.ports) == ("home", ["c.eu"], retained)
    assert (changed.expires_at, changed.limits) == (at, Limits(services=3, ports=20))
    assert changed_again.expires_at is None
    assert changed_again.limits == Limits(ports=20)
    assert changed_again.ports == retained[1:]
    assert (await client.invites.get(invite_id(token))).value == changed_again


async def test_the_token_stays_good_whatever_changes(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    edit = InviteEdit(name="new", hostnames=["b.eu"], ports=[ports("tcp", 2222, 2222)])
    await client.invites.update(invite_id(token), edit)
    welcome = await client.bootstrap(token, new_key(), "default")

    assert welcome.tenant_id == tenant_id(token)
    assert welcome.hostnames == ["b.eu"]
    assert welcome.grant


async def test_routes_of_a_lost_hostname_end_and_others_stay(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "*.b.eu")
    revision = await publish(hub, token, "a.eu", "x.b.eu", "*.b.eu")
    await hub.client().invites.update(invite_id(token), InviteEdit(hostnames=["a.eu", "c.eu"]))
    delta = await hub.client().follow_routes(hub.context.keys.node, revision)

    assert sorted(delta.removed) == ["https:*.b.eu", "https:x.b.eu"]
    assert list(await served(hub)) == ["https:a.eu"]
    assert await code_of(publish(hub, token, "a.eu", "x.b.eu")) is Code.HOSTNAME_NOT_OWNED
    await publish(hub, token, "a.eu", "c.eu")


async def test_a_wildcard_that_narrows_keeps_the_names_it_still_covers(hub: TestHub) -> None:
    token = await hub.invite("*.b.eu")
    await publish(hub, token, "x.b.eu", "y.b.eu")
    await hub.client().invites.update(invite_id(token), InviteEdit(hostnames=["x.b.eu"]))

    assert list(await served(hub)) == ["https:x.b.eu"]


async def test_routes_of_ports_that_go_to_another_end_only_when_their_tenant_says_so(
    hub: TestHub,
) -> None:
    one, two = await hub.invite("a.eu"), await hub.invite("b.eu")
    client, retained = hub.client(), InviteEdit(ports=[ports("tcp", 2222, 2225)])
    await client.invites.update(invite_id(one), retained)
    await publish_ports(hub, one, "tcp", [2222])
    await client.invites.update(invite_id(one), InviteEdit(ports=[]))
    clash = await refusal(client.invites.update(invite_id(two), retained))
    await publish_ports(hub, one, "tcp", [])
    changed = await client.invites.update(invite_id(two), retained)

    assert clash.code is Code.PORT_CONFLICT
    assert "tcp:2222" in clash.detail
    assert changed.value.ports == retained.ports
    assert await code_of(publish_ports(hub, one, "tcp", [2222])) is Code.PORT_CONFLICT


async def test_a_refused_edit_changes_nothing_at_all(hub: TestHub) -> None:
    one, _ = await hub.invite("a.eu"), await hub.invite("b.eu")
    client = hub.client()
    before = await client.invites.get(invite_id(one))
    taken = InviteEdit(name="new", hostnames=["c.eu", "b.eu"])
    too_many = InviteEdit(name="new", hostnames=["c.eu", "d.eu"], limits=Limits(hostnames=1))
    low = InviteEdit(name="new", hostnames=["c.eu"], ports=[ports("tcp", 80, 80)])
    codes = [
        await code_of(client.invites.update(invite_id(one), edit))
        for edit in (taken, too_many, low)
    ]

    assert codes == [Code.HOSTNAME_CONFLICT, Code.QUOTA_EXCEEDED, Code.INVALID_REQUEST]
    assert await client.invites.get(invite_id(one)) == before
    assert len((await client.audit.list()).audit) == 2


async def test_ranges_that_stay_keep_their_ids(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    stays, goes = ports("tcp", 2222, 2225), ports("udp", 2222, 2222)
    await client.invites.update(invite_id(token), InviteEdit(ports=[stays, goes]))
    before = (await client.ports.list()).ports
    await client.invites.update(
        invite_id(token), InviteEdit(ports=[ports("udp", 9000, 9001), stays])
    )
    after = (await client.ports.list()).ports

    assert before[0] == after[0]
    assert [(retained.protocol, retained.first_port, retained.last_port) for retained in after] == [
        ("tcp", 2222, 2225),
        ("udp", 9000, 9001),
    ]


async def test_an_expired_invite_is_opened_again_by_a_later_end(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    soon = datetime.fromtimestamp(hub.clock.now_ms / 1000 + 1, UTC)
    await client.invites.update(invite_id(token), InviteEdit(expires_at=soon))
    hub.clock.now_ms += 1_000
    refused = await code_of(client.bootstrap(token, new_key(), "default"))
    later = datetime.fromtimestamp(hub.clock.now_ms / 1000 + 1, UTC)
    await client.invites.update(invite_id(token), InviteEdit(expires_at=later))

    assert refused is Code.INVITE_EXPIRED
    assert (await client.bootstrap(token, new_key(), "default")).grant


@pytest.mark.parametrize(
    ("field", "days", "rule"),
    [
        ("expires_at", 31, "at most 30 days from now"),
        ("expires_at", 0, "is over; give a later time, or null for never"),
        ("expires_at", -1_000, "is over"),
        ("serves_until", 10 * 366 + 1, "at most 3660 days from now"),
    ],
)
async def test_an_edit_has_the_bounds_of_a_new_invite(
    hub: TestHub, field: str, days: int, rule: str
) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    at = datetime.fromtimestamp(hub.clock.now_ms / 1000, UTC) + timedelta(days=days)
    edit = InviteEdit.model_validate({field: at})
    refused = await refusal(client.invites.update(invite_id(token), edit))
    unchanged = (await client.invites.get(invite_id(token))).value

    assert refused.code is Code.INVALID_REQUEST
    assert refused.detail.startswith(f"{field}: ")
    assert rule in refused.detail
    assert (unchanged.expires_at, unchanged.serves_until) == (None, None)


async def test_an_edit_may_send_back_an_end_that_is_over(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    end = datetime.fromtimestamp(hub.clock.now_ms / 1000, UTC) + timedelta(days=30, minutes=4)
    await client.invites.update(invite_id(token), InviteEdit(expires_at=end))
    hub.clock.now_ms += 31 * 86_400_000
    edited = await client.invites.update(invite_id(token), InviteEdit(expires_at=end, name="x"))

    assert (edited.value.name, edited.value.state) == ("x", "expired")


async def test_an_end_that_is_no_moment_is_refused_by_its_name(hub: TestHub) -> None:
    path = f"/v1/invites/{invite_id(await hub.invite('a.eu'))}"
    no_moments: tuple[object, ...] = (
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-24T12:00:00"),
        *("1e400", "tomorrow", "", True, [], -1e300),
    )
    async with hub.raw() as http:
        for at in no_moments:
            for field in ("expires_at", "serves_until"):
                answer = await http.patch(path, json={field: at}, headers=OPERATOR)

                assert body_of(answer) == (400, "invalid_request")
                assert field in answer.json()["error"]["message"]


async def test_an_exact_invite_beats_a_wildcard_and_gives_the_name_back(hub: TestHub) -> None:
    wide = await hub.invite("*.example.eu")
    await publish(hub, wide, "*.example.eu", "app.example.eu")
    narrow = await hub.invite("app.example.eu")
    retained = await served(hub)
    outranked = await code_of(publish(hub, wide, "*.example.eu", "app.example.eu"))
    await publish(hub, narrow, "app.example.eu")
    await publish(hub, narrow)
    withdrawn = await served(hub)
    await hub.client().invites.revoke(invite_id(narrow))
    given_back = await served(hub)
    await publish(hub, wide, "*.example.eu", "app.example.eu")

    wildcard = {"https:*.example.eu": tenant_id(wide)}
    assert retained == withdrawn == {**wildcard, "https:app.example.eu": tenant_id(narrow)}
    assert outranked is Code.HOSTNAME_CONFLICT
    assert given_back == wildcard
    assert await served(hub) == {**wildcard, "https:app.example.eu": tenant_id(wide)}


async def test_an_edit_moves_a_name_between_a_wildcard_and_an_exact_invite(hub: TestHub) -> None:
    wide, narrow = await hub.invite("*.example.eu"), await hub.invite("other.eu")
    await publish(hub, wide, "app.example.eu")
    client, name = hub.client(), "app.example.eu"
    await client.invites.add_hostnames(invite_id(narrow), HostnamesIn(hostnames=[name]))
    taken = await served(hub)
    await publish(hub, narrow, name)
    await client.invites.remove_hostname(invite_id(narrow), name)
    lost = await served(hub)
    await publish(hub, wide, name)

    assert taken == {f"https:{name}": tenant_id(narrow)}
    assert lost == {}
    assert await served(hub) == {f"https:{name}": tenant_id(wide)}


async def test_a_wildcard_that_comes_later_takes_nothing_from_an_exact_invite(hub: TestHub) -> None:
    narrow = await hub.invite("app.example.eu")
    await publish(hub, narrow, "app.example.eu")
    wide = await hub.invite("*.example.eu", "*.eu")

    assert await served(hub) == {"https:app.example.eu": tenant_id(narrow)}
    assert await code_of(publish(hub, wide, "app.example.eu")) is Code.HOSTNAME_CONFLICT
    await publish(hub, narrow, "app.example.eu")


async def test_a_name_is_kept_from_a_wildcard_whichever_comes_first_until_one_goes(
    hub: TestHub,
) -> None:
    early = await hub.invite("early.example.eu")
    alone = await served(hub)
    wide = await hub.invite("*.example.eu")
    late = await hub.invite("late.example.eu")
    between = await served(hub)
    await hub.client().invites.revoke(invite_id(late))
    without_late = await served(hub)
    await hub.client().invites.revoke(invite_id(wide))

    retained = {"https:early.example.eu": tenant_id(early)}
    assert alone == {}
    assert between == {**retained, "https:late.example.eu": tenant_id(late)}
    assert without_late == retained
    assert await served(hub) == {}


async def test_a_hostname_is_added_once_and_removed_but_for_the_last(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    which = invite_id(token)
    added = await client.invites.add_hostnames(which, HostnamesIn(hostnames=["*.B.eu", "a.eu"]))
    again = await client.invites.add_hostnames(which, HostnamesIn(hostnames=["*.b.eu"]))
    removed = await client.invites.remove_hostname(which, "A.eu")

    assert added.remaining_hostnames == again.remaining_hostnames == ["a.eu", "*.b.eu"]
    assert removed.remaining_hostnames == ["*.b.eu"]
    assert await code_of(client.invites.remove_hostname(which, "a.eu")) is Code.NOT_FOUND
    assert await code_of(client.invites.remove_hostname(which, "*.b.eu")) is Code.INVALID_REQUEST
    assert (await client.invites.get(which)).value.hostnames == ["*.b.eu"]


async def test_a_hostname_of_another_invite_is_not_added(hub: TestHub) -> None:
    one, _ = await hub.invite("a.eu"), await hub.invite("b.eu")
    requested = HostnamesIn(hostnames=["c.eu", "B.eu"])
    refused = await refusal(hub.client().invites.add_hostnames(invite_id(one), requested))

    assert refused.code is Code.HOSTNAME_CONFLICT
    assert "b.eu" in refused.detail
    assert (await hub.client().invites.get(invite_id(one))).value.hostnames == ["a.eu"]


async def test_what_is_above_a_lowered_limit_can_be_made_less_but_not_more(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu", "b.eu", "c.eu"), hub.client()
    which = invite_id(token)
    lowered = InviteEdit(limits=Limits(hostnames=1))
    await client.invites.update(which, lowered)
    removed = await client.invites.remove_hostname(which, "c.eu")
    more = await refusal(client.invites.add_hostnames(which, HostnamesIn(hostnames=["d.eu"])))

    assert removed.remaining_hostnames == ["a.eu", "b.eu"]
    assert more.code is Code.QUOTA_EXCEEDED
    assert "hostnames: 3" in more.detail


async def test_a_revoked_invite_is_edited_no_more(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu", "b.eu"), hub.client()
    which, of = invite_id(token), tenant_id(token)
    await client.invites.revoke(which)
    calls = (
        client.invites.update(which, InviteEdit(name="x")),
        client.invites.add_hostnames(which, HostnamesIn(hostnames=["c.eu"])),
        client.invites.remove_hostname(which, "a.eu"),
        client.ports.reserve(ReservationIn(tenant_id=of, protocol="tcp")),
    )

    assert [await code_of(call) for call in calls] == [Code.NOT_FOUND] * 4
    assert (await client.invites.get(which)).value.status == "revoked"
