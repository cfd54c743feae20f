"""TCP services: valid ones, and mistakes reported with item, field, rule and fix."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.agent.core.services import MAX_SERVICES, Origin, ProxyProtocol, Service
from towonel.agent.core.tcp_services import MAX_IDLE_S, parse_tcp_services
from towonel.wire.names import ServiceKey, ServiceKind

SSH = {"name": "ssh", "origin": "forgejo:22", "listen_port": 2222}


def parse_one(**fields: object) -> Service:
    (service,) = parse_tcp_services(json.dumps([SSH | fields]))
    return service


def problems(*items: object) -> list[str]:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the lines are looked at below
        parse_tcp_services(json.dumps(items))
    return str(caught.value).split("\n")


def test_a_service_has_the_originals_fields_and_defaults() -> None:
    assert parse_one() == Service(
        ServiceKey(ServiceKind.TCP, "ssh"), Origin("forgejo", 22, ProxyProtocol.NONE, 0), port=2222
    )


def test_what_is_given_is_taken() -> None:
    service = parse_one(
        name="Mein Dienst", listen_port="auto", proxy_protocol="v2", idle_timeout_secs=MAX_IDLE_S
    )

    assert str(service.key) == "tcp:Mein Dienst"
    assert service.port == "auto"
    assert service.origin == Origin("forgejo", 22, ProxyProtocol.V2, 86_400)
    assert parse_one(idle_timeout_secs=None).origin.idle_timeout_s == 0
    assert parse_one(listen_port=1).port == 1
    assert parse_one(listen_port=65_535).port == 65_535


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"name": ""}, "[0] ().name: service name '' must not be empty"),
        (
            {"name": "a\nb"},
            "[0] ('a\\nb').name: service name 'a\\nb' must not contain control characters",
        ),
        ({"name": "x" * 65}, "must have at most 64 bytes"),
        ({"name": 5}, "[0].name: must be a text, not 5; give the service a name, as in ssh"),
        ({"name": None}, "[0].name: is missing; give the service a name, as in ssh"),
        (
            {"origin": "forgejo"},
            "[0] (ssh).origin: must be host:port, with a port from 1 to 65535, as in 127",
        ),
        ({"origin": None}, "[0] (ssh).origin: is missing; give host:port, as in 127.0.0.1:22"),
        (
            {"listen_port": None},
            "[0] (ssh).listen_port: is missing; give a port from 1 to 65535, or ",
        ),
        (
            {"listen_port": 0},
            '[0] (ssh).listen_port: must be a port from 1 to 65535, or "auto" for one',
        ),
        ({"listen_port": 65_536}, "not 65536"),
        ({"listen_port": "2222"}, "not '2222'"),
        ({"listen_port": True}, "not True"),
        ({"listen_port": 22.0}, "not 22.0"),
        ({"listen_port": []}, "not []"),
        ({"proxy_protocol": "v1"}, '[0] (ssh).proxy_protocol: must be "v2" or "none", not \'v1\''),
        (
            {"idle_timeout_secs": 0},
            "[0] (ssh).idle_timeout_secs: must be a whole number of seconds from 1 to",
        ),
        ({"idle_timeout_secs": 86_401}, "from 1 to 86400; leave it out for no limit, not 86401"),
        ({"idle_timeout_secs": True}, "not True"),
        ({"idle_timeout_secs": "5"}, "not '5'"),
        ({"port": 22}, "[0] (ssh).port: unknown field; "),
        ({"listen_prt": 22}, "[0] (ssh).listen_prt: unknown field; did you mean listen_port?"),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_its_rule(
    fields: dict[str, object], line: str
) -> None:
    (found,) = problems(SSH | fields)

    assert line in found


def test_what_is_no_list_of_objects_is_refused_with_an_example() -> None:
    assert problems(5) == [
        '[0]: must be an object, as in {"name": "ssh", "origin": "127.0.0.1:22", "listen_port": 2222}'
    ]
    with pytest.raises(ValueError, match=r'must be a JSON array, as in \[{"name": "ssh"'):
        parse_tcp_services("{}")
    with pytest.raises(ValueError, match="at most 1000 are taken"):
        parse_tcp_services(json.dumps([SSH] * (MAX_SERVICES + 1)))
    with pytest.raises(
        ValueError, match=r"\[0\] \(ssh\).name: or another field occurs twice in it"
    ):
        parse_tcp_services('[{"name": "ssh", "origin": "a:1", "origin": "b:1", "listen_port": 1}]')


def test_names_and_ports_occur_once_and_auto_as_often_as_is_wanted() -> None:
    web, any_port = SSH | {"name": "web"}, SSH | {"listen_port": "auto"}

    assert problems(SSH, SSH | {"listen_port": 2223}) == [
        "[1] (ssh).name: is that of [0] (ssh), too; each service needs one of its own"
    ]
    assert problems(web, SSH) == [
        "[1] (ssh).listen_port: is that of [0] (web), too; each service needs one of its own"
    ]
    assert len(parse_tcp_services(json.dumps([any_port, web | {"listen_port": "auto"}]))) == 2


GAME = {"name": "game", "origin": "192.0.2.7", "listen_port_range": "27015-27030"}


@pytest.mark.parametrize("written", ["27015-27030", [27015, 27030]])
def test_a_range_has_the_same_ports_of_one_host(written: object) -> None:
    (service,) = parse_tcp_services(json.dumps([GAME | {"listen_port_range": written}]))

    assert service == Service(
        ServiceKey(ServiceKind.TCP, "game"),
        Origin("192.0.2.7", 27015, ProxyProtocol.NONE, last_port=27030),
        port=27015,
        last_port=27030,
    )
    (other,) = parse_tcp_services(json.dumps([GAME | {"origin": "[fd00::7]"}]))
    assert other.origin.host == "fd00::7"


NO_HOST = (
    "[0] (game).origin: must be a host alone, as in 192.0.2.7 or game: clients get the ports that"
)
NO_RANGE = (
    '(game).listen_port_range: must be a range of at most 512 ports, as in "27015-27030", not '
)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"origin": "game:27015"}, NO_HOST),
        ({"origin": "[game]"}, NO_HOST),
        ({"origin": 7}, "they use there, not 7"),
        ({"origin": None}, "[0] (game).origin: is missing; give a host"),
        ({"listen_port": 1}, "(game).listen_port_range: and listen_port are both there; leave one"),
        ({"listen_port_range": None}, f"{NO_RANGE}None"),
        ({"listen_port_range": "auto"}, f"{NO_RANGE}'auto'"),
        ({"listen_port_range": [1]}, f"{NO_RANGE}[1]"),
        ({"listen_port_range": [1, True]}, f"{NO_RANGE}[1, True]"),
        ({"listen_port_range": "1-513"}, "1-513: has 513 ports, and a service may have 512"),
        ({"listen_port_range": [9, 8]}, "9-8: the first port must be below the last"),
        ({"name": ""}, "[0] ().name: service name '' must not be empty"),
    ],
)
def test_a_mistake_of_a_range_is_reported_with_its_rule(
    fields: dict[str, object], line: str
) -> None:
    (found,) = problems(GAME | fields)

    assert line in found


def test_a_port_of_a_range_is_no_other_services() -> None:
    inside = SSH | {"listen_port": 27030}
    across = GAME | {"name": "more", "listen_port_range": "27029-27040"}

    assert problems(GAME, inside) == [
        "[1] (ssh).listen_port: is that of [0] (game), too; each service needs one of its own"
    ]
    assert problems(GAME, across) == [
        (
            "[1] (more).listen_port_range: has port 27029, which is that of [0] (game), too;"
            " each service needs one of its own"
        )
    ]
    assert len(parse_tcp_services(json.dumps([GAME, SSH | {"listen_port": 27031}]))) == 2


def test_every_mistake_is_reported_at_once() -> None:
    found = problems({"prot": 1, "idle_timeout_secs": "x", "proxy_protocol": 2}, 5)

    fields = [line.partition("].")[2].partition(":")[0] for line in found]
    assert fields == [
        *("prot", "name", "origin", "listen_port", "proxy_protocol", "idle_timeout_secs"),
        "",
    ]


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["a", "b", "", "a\nb"]) | VALUES,
            "origin": st.sampled_from(["a:1", "::1:1", "a"]) | VALUES,
            "listen_port": st.sampled_from([1, 2, "auto", 0]) | VALUES,
            "listen_port_range": st.sampled_from(["1-3", [2, 3], "9-1"]) | VALUES,
            "proxy_protocol": st.sampled_from(["v2", "none"]) | VALUES,
            "idle_timeout_secs": VALUES,
            "port": VALUES,
        },
    )
    | VALUES,
    max_size=4,
)


@given(ITEMS.map(json.dumps) | st.text(max_size=30))
def test_any_text_is_services_or_mistakes_with_their_places(text: str) -> None:
    try:
        found = parse_tcp_services(text)
    except ValueError as error:
        for line in str(error).split("\n"):
            assert line.isprintable()
            assert line.startswith(("[", "is not JSON", "must be a JSON array"))
    else:
        ports = [
            port
            for each in found
            if isinstance(each.port, int)
            for port in range(each.port, (each.last_port or each.port) + 1)
        ]
        assert len({each.key for each in found}) == len(found)
        assert len(set(ports)) == len(ports)
