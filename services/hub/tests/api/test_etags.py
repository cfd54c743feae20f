"""Edits know what they edit: an ETag of what was seen, or the edit is refused."""

from collections.abc import Awaitable, Callable

import httpx
from support.callers import OPERATOR, body_of, invite_id, tenant_id
from support.hub import TestHub

from towonel.api.invites import HostnamesIn
from towonel.api.keys import KeyIn, KeyRotation
from towonel.api.ports import ReservationIn
from towonel.client.hub import HubClient


async def patches(hub: TestHub) -> dict[str, tuple[str, object]]:
    """Every operation that edits, with a path of something that is there and an edit of it."""
    token, other = await hub.invite("a.eu"), await hub.invite("b.eu")
    key = await hub.client().keys.create(KeyIn(name="k", role="viewer"))
    return {
        "update_invite": (f"/v1/invites/{invite_id(token)}", {"name": "new"}),
        "update_tenant": (f"/v1/tenants/{tenant_id(other).hex()}", {"limits": {"ports": 5}}),
        "update_key": (f"/v1/keys/{key.key_id}", {"name": "new"}),
    }


async def edit(
    http: httpx.AsyncClient, path: str, body: object, if_match: str | None
) -> httpx.Response:
    tags = {} if if_match is None else {"if-match": if_match}
    return await http.patch(path, json=body, headers={**OPERATOR, **tags})


async def test_every_patch_of_the_document_takes_if_match(hub: TestHub) -> None:
    edits, tagged = set[str](), set[str]()
    for methods in hub.app.openapi()["paths"].values():
        for method, operation in methods.items():
            if method == "patch":
                edits.add(operation["operationId"])
            if "if-match" in {it["name"] for it in operation.get("parameters", [])}:
                tagged.add(operation["operationId"])

    assert edits == tagged == set(await patches(hub))


async def test_an_edit_of_what_was_seen_is_made_and_a_second_one_is_stale(hub: TestHub) -> None:
    async with hub.raw() as http:
        for path, body in (await patches(hub)).values():
            seen = (await http.get(path, headers=OPERATOR)).headers["etag"]
            made = await edit(http, path, body, seen)
            now = await http.get(path, headers=OPERATOR)
            stale = await edit(http, path, {"name": "mine"}, seen)
            after = await http.get(path, headers=OPERATOR)

            assert made.status_code == 200
            assert made.headers["etag"] == now.headers["etag"] != seen
            assert body_of(stale) == (412, "precondition_failed")
            assert now.headers["etag"] in stale.json()["error"]["message"]
            assert (after.json(), after.headers["etag"]) == (now.json(), now.headers["etag"])


async def test_any_of_several_tags_weak_ones_and_the_star_are_enough(hub: TestHub) -> None:
    async with hub.raw() as http:
        for path, _ in (await patches(hub)).values():
            for number, form in enumerate(("{}", "W/{}", '"x", {}', " W/{} ,W/{}", "*", " * ")):
                seen = (await http.get(path, headers=OPERATOR)).headers["etag"]
                answer = await edit(http, path, {"name": f"n{number}"}, form.replace("{}", seen))

                assert answer.json()["name"] == f"n{number}"
            assert (await edit(http, path, {"name": "last"}, None)).is_success


async def test_what_is_no_tag_of_now_is_refused(hub: TestHub) -> None:
    async with hub.raw() as http:
        for path, body in (await patches(hub)).values():
            seen = (await http.get(path, headers=OPERATOR)).headers["etag"]
            for tag in ("1", '"0"', '"1 "', "", '""', seen.strip('"'), f"w/{seen}", "**"):
                assert body_of(await edit(http, path, body, tag)) == (412, "precondition_failed")
            assert body_of(await edit(http, path, body, '"1"' * 30)) == (400, "invalid_request")


async def test_an_edit_that_changes_nothing_keeps_the_tag(hub: TestHub) -> None:
    async with hub.raw() as http:
        for path, body in (await patches(hub)).values():
            await edit(http, path, body, None)
            seen = (await http.get(path, headers=OPERATOR)).headers["etag"]
            same = await edit(http, path, body, None)
            empty = await edit(http, path, {}, seen)

            assert same.headers["etag"] == empty.headers["etag"] == seen


async def released(client: HubClient) -> None:
    (held,) = (await client.ports.list()).ports
    await client.ports.release(held.reservation_id)


async def test_whatever_else_changes_a_tenant_or_a_key_changes_its_tag(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    which, of = invite_id(token), tenant_id(token)
    key = await client.keys.create(KeyIn(name="k", role="viewer"))
    requested = ReservationIn(tenant_id=of, protocol="tcp")
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: client.invites.add_hostnames(which, HostnamesIn(hostnames=["b.eu"])),
        lambda: client.invites.remove_hostname(which, "b.eu"),
        lambda: client.tenants.suspend(of),
        lambda: client.tenants.resume(of),
        lambda: client.ports.reserve(requested),
        lambda: released(client),
        lambda: client.invites.revoke(which),
    ]
    tags = [(await client.tenants.get(of)).etag]
    for step in steps:
        await step()
        tags.append((await client.tenants.get(of)).etag)
    before = (await client.keys.get(key.key_id)).etag
    await client.keys.rotate(key.key_id, KeyRotation(grace_secs=0))

    assert len(set(tags)) == len(steps) + 1
    assert (await client.invites.get(which)).etag == tags[-1]
    assert (await client.keys.get(key.key_id)).etag != before
