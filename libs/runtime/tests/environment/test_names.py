"""Names of variables: each unknown one is named, and those of Kubernetes are passed over."""

import pytest

from towonel.runtime.environment.names import find_unknown, is_service_link

KNOWN = {"OUR_DATA_DIR", "OUR_WEB_LISTEN_ADDR", "OUR_TOKEN", "OUR_WEB_URL"}
REPLACED = {"OUR_KEY": "use OUR_KEY_PATH", "OUR_MAIL_": "there is no mail; remove it"}
LINKS = {
    "OUR_WEB_SERVICE_HOST": "10.0.0.7",
    "OUR_WEB_SERVICE_PORT": "8443",
    "OUR_WEB_SERVICE_PORT_HTTPS_API": "8443",
    "OUR_WEB_PORT": "tcp://10.0.0.7:8443",
    "OUR_WEB_PORT_8443_TCP": "tcp://[fd00::7]:8443",
    "OUR_WEB_PORT_8443_TCP_PROTO": "tcp",
    "OUR_WEB_PORT_8443_TCP_PORT": "8443",
    "OUR_WEB_PORT_8443_TCP_ADDR": "fd00::7",
    "OUR_WEB_PORT_53_UDP": "udp://10.0.0.7:53",
    "OUR_PORT": "tcp://10.0.0.7:8443",
    "OUR_SERVICE_HOST": "10.0.0.7",
}


def unknown(*names: str, **environ: str) -> list[str]:
    return find_unknown(dict.fromkeys(names, "x") | environ, KNOWN, REPLACED, ("OUR_",))


def test_service_links_are_passed_over() -> None:
    assert unknown(**LINKS) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OUR_WEB_PORT", "8443"),
        ("OUR_WEB_PORT", "tcp://10.0.0.7"),
        ("OUR_WEB_SERVICE_HOST", "web.example.eu"),
        ("OUR_WEB_SERVICE_PORT", "https"),
        ("OUR_WEB_PORT_8443_TCP_PROTO", "quic"),
        ("OUR_WEB_REPORT", "tcp://10.0.0.7:8443"),
        ("OUR_WEB", "tcp://10.0.0.7:8443"),
    ],
)
def test_what_only_looks_like_a_link_is_named(name: str, value: str) -> None:
    assert not is_service_link(name, value)
    assert unknown(**{name: value})[0].startswith(f"{name}: unknown variable")


def test_names_of_others_and_files_of_ours_are_no_mistake() -> None:
    assert unknown(OUR_DATADIR="", OUR_X='""') == []
    assert unknown("PATH", "OUR_TOKEN", "OUR_TOKEN_FILE", "OURS") == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("OUR_DATADIR", "OUR_DATA_DIR"),
        ("OUR_WEB_LISTEN_ADRR", "OUR_WEB_LISTEN_ADDR"),
        ("OUR_WEB_LISTEN_ADDRS", "OUR_WEB_LISTEN_ADDR"),
        ("OUR_TOEKN", "OUR_TOKEN"),
        ("OUR_TOKN_FILE", "OUR_TOKEN"),
        ("OUR_WEB_LISTEN", "OUR_WEB_LISTEN_ADDR"),
    ],
)
def test_a_name_that_is_nearly_right_gets_a_hint(name: str, near: str) -> None:
    assert unknown(name) == [f"{name}: unknown variable; did you mean {near}?"]


@pytest.mark.parametrize("name", ["OUR_DATA_PATH", "OUR_WEB_ADDR", "OUR_", "OUR_TOKEN_KEY"])
def test_a_name_that_is_not_near_gets_no_hint(name: str) -> None:
    assert unknown(name) == [
        f"{name}: unknown variable; remove it, or see the README for those there are"
    ]


def test_a_name_of_former_times_says_what_replaces_it() -> None:
    assert unknown("OUR_KEY", "OUR_KEY_FILE", "OUR_MAIL_FROM") == [
        "OUR_KEY: is not read; use OUR_KEY_PATH",
        "OUR_KEY_FILE: is not read; use OUR_KEY_PATH",
        "OUR_MAIL_FROM: is not read; there is no mail; remove it",
    ]
