"""Flags that name services: what they stand for, and mistakes reported with the flag and the form."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.agent.core.service_flags import write_https, write_tcp, write_udp
from towonel.agent.core.tcp_services import parse_tcp_services
from towonel.agent.core.udp_services import parse_udp_services


def https_of(*flags: str, proxy: str | None = None) -> object:
    return json.loads(write_https(flags[::2], flags[1::2], proxy))


def mistakes_of_https(
    hostnames: list[str], targets: list[str], proxy: str | None = None
) -> list[str]:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the lines are looked at
        write_https(hostnames, targets, proxy)
    return str(caught.value).split("\n")


def mistakes_of_tcp(*flags: str) -> list[str]:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the lines are looked at
        write_tcp(flags)
    return str(caught.value).split("\n")


def test_pairs_are_https_services_of_this_machine_unless_a_host_is_named() -> None:
    assert https_of("a.eu", "8443", "*.b.eu", "web:443", "c.eu", "[fd00::7]:443") == [
        {"hostname": "a.eu", "origin": "127.0.0.1:8443"},
        {"hostname": "*.b.eu", "origin": "web:443"},
        {"hostname": "c.eu", "origin": "[fd00::7]:443"},
    ]
    assert https_of("a.eu", "1", proxy="none") == [
        {"hostname": "a.eu", "origin": "127.0.0.1:1", "proxy_protocol": "none"}
    ]


def test_without_flags_there_is_nothing() -> None:
    assert write_https([], [], None) == ""
    assert write_tcp([]) == write_udp([]) == ""


@pytest.mark.parametrize(
    ("flag", "name", "port", "origin"),
    [
        ("2222:forgejo:22", "tcp-2222", 2222, "forgejo:22"),
        ("2222:22", "tcp-2222", 2222, "127.0.0.1:22"),
        ("ssh=2222:forgejo:22", "ssh", 2222, "forgejo:22"),
        ("auto:22", "tcp-auto", "auto", "127.0.0.1:22"),
        ("my=ssh=auto:[::1]:22", "my=ssh", "auto", "[::1]:22"),
    ],
)
def test_a_port_is_a_tcp_service(flag: str, name: str, port: object, origin: str) -> None:
    assert json.loads(write_tcp([flag])) == [{"name": name, "origin": origin, "listen_port": port}]


@pytest.mark.parametrize(
    "flag",
    [
        *("", "22", "2222:", "0:22", "65536:22", "any:22", "2222:forgejo", "2222:0", "2222:::1:22"),
        *("ssh=", "ssh=2222", "auto", "2222:a b:22", "2222:22:", "٢:22"),
        *("10-12:game:10", "10-12:a b", "10-auto:game", "10-:game"),
    ],
)
def test_another_form_of_tcp_is_refused_with_the_right_one(flag: str) -> None:
    (found,) = mistakes_of_tcp(flag)

    assert found == (
        f"--tcp {flag}: must be [NAME=]PUBLIC_PORT:[HOST:]PORT or [NAME=]FIRST-LAST[:HOST],"
        " as in 2222:22, 2222:forgejo:22, ssh=auto:22 or 27015-27030:game, with ports from 1 to 65535; the public one may be auto"
    )


def test_a_udp_service_has_the_form_of_a_tcp_service_and_its_own_names() -> None:
    flags = ["5353:53", "dns=auto:[::1]:53"]

    assert json.loads(write_udp(flags)) == [
        {"name": "udp-5353", "origin": "127.0.0.1:53", "listen_port": 5353},
        {"name": "dns", "origin": "[::1]:53", "listen_port": "auto"},
    ]
    with pytest.raises(
        ValueError,
        match=r"^--udp 53: must be \[NAME=\]PUBLIC_PORT:.* dns=auto:53 or 40000-40100:pbx, with ports from 1 to 65535; the public one may be auto$",
    ):
        write_udp(["53"])
    with pytest.raises(ValueError, match=r"^--udp: \[1\] \(b\)\.listen_port: is that of"):
        write_udp(["a=1:1", "b=1:2"])


def test_a_range_goes_to_the_same_ports_of_a_host_or_of_this_machine() -> None:
    flags = ["27015-27030:game", "pbx=40000-40100:[fd00::7]", "10-12"]

    assert json.loads(write_udp(flags)) == [
        {"name": "udp-27015-27030", "origin": "game", "listen_port_range": "27015-27030"},
        {"name": "pbx", "origin": "[fd00::7]", "listen_port_range": "40000-40100"},
        {"name": "udp-10-12", "origin": "127.0.0.1", "listen_port_range": "10-12"},
    ]
    assert mistakes_of_tcp("1-513:game") == [
        "--tcp: [0] (tcp-1-513).listen_port_range: 1-513: has 513 ports, and a service may have 512"
    ]


def test_every_wrong_flag_is_reported_at_once() -> None:
    assert len(mistakes_of_tcp("x", "2222:22", "y")) == 2
    assert mistakes_of_https(["a.eu", "b.eu"], ["x", "0"]) == [
        f"--to {target}: must be PORT or HOST:PORT, as in 8443, web:443 or [fd00::7]:443"
        for target in ("x", "0")
    ]


def test_names_are_refused_by_the_rules_of_the_variables() -> None:
    assert mistakes_of_https(["app"], ["80"])[0].startswith(
        "--hostname: [0] (app).hostname: hostname 'app' must have at least two labels"
    )
    assert mistakes_of_tcp("2222:22", "2222:23") == [
        "--tcp: [1] (tcp-2222).listen_port: is that of [0] (tcp-2222), too; each service needs one of its own"
    ]
    assert "proxy_protocol: must be" in mistakes_of_https(["a.eu"], ["1"], "v1")[0]


def test_a_hostname_without_a_target_or_a_header_without_a_hostname_is_refused() -> None:
    assert mistakes_of_https(["a.eu", "b.eu"], ["1"]) == [
        (
            "--hostname: each goes with a --to, and there are 2 of the one and 1 of the other;"
            " as in --hostname app.example.eu --to 8443"
        )
    ]
    assert mistakes_of_https([], [], "none")[0].startswith("--proxy-protocol: ")


def test_ports_that_the_hub_chooses_need_names_once_there_are_several() -> None:
    assert mistakes_of_tcp("auto:22", "db=auto:1", "auto:5432") == [
        (
            "--tcp auto:5432: is called tcp-auto, as --tcp auto:22 is; give each a name of its own, as in"
            " db=auto:5432"
        )
    ]
    assert len(json.loads(write_tcp(["auto:22", "db=auto:1"]))) == 2


@given(
    st.lists(
        st.from_regex(r"([a-z=]{0,3}=)?(auto|[0-9]{0,5}(-[0-9]{1,5})?)(:[a-z]{0,3})?:?[0-9]{0,5}")
    )
)
def test_what_is_taken_can_be_read_as_the_variable(flags: list[str]) -> None:
    try:
        text = write_tcp(flags)
    except ValueError as error:
        assert all(line.startswith("--tcp") for line in str(error).split("\n"))
    else:
        assert len(parse_tcp_services(text or "[]")) == len(flags)
        assert len(parse_udp_services(write_udp(flags) or "[]")) == len(flags)
