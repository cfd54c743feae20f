"""Settings of an edge: defaults that follow from others, all mistakes reported at once."""

import resource
from pathlib import Path

import pytest

from towonel.edge.certificates.acme.authority import LETS_ENCRYPT, STAGING, Authority
from towonel.edge.certificates.serving import find_authority
from towonel.edge.limits.of_settings import find_session_limits
from towonel.edge.settings import EdgeSettings
from towonel.runtime.settings import SettingsError, load
from towonel.runtime.sockets import SPARE_DESCRIPTORS
from towonel.wire.tokens import EdgeToken

TOKEN = EdgeToken("https://hub.example.eu", bytes(16), b"S" * 32, b"K" * 32)
BESIDE_A_HUB = {
    "TOWONEL_DATA_DIR": "/state",
    "TOWONEL_HUB_PUBLIC_URL": "https://hub.example.eu:8443/x",
}


def problem(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(EdgeSettings, {**BESIDE_A_HUB, **environ})
    return "\n".join(caught.value.problems)


def test_beside_a_hub_everything_follows_from_the_data_folder_and_the_public_url() -> None:
    settings = load(EdgeSettings, {**BESIDE_A_HUB, "TOWONEL_HUB_LISTEN_ADDR": "0.0.0.0:9443"})

    assert settings.key_path == Path("/state/node.key")
    assert settings.state_folder == Path("/state/edge")
    assert settings.hub_url == "http://127.0.0.1:9443"
    assert settings.agent_addresses(443) == ["hub.example.eu:443"]
    assert settings.token is None
    assert settings.proxies == ()


def test_with_a_token_the_hub_is_the_tokens() -> None:
    settings = load(
        EdgeSettings,
        {
            "TOWONEL_EDGE_INVITE_TOKEN": f" {TOKEN.encode()}\n",
            "TOWONEL_EDGE_STATE_DIR": "/var/edge",
            "TOWONEL_EDGE_LISTEN_ADDR": "[2001:db8::1]:443",
        },
    )

    assert settings.token == TOKEN
    assert settings.hub_url == "https://hub.example.eu"
    assert settings.agent_addresses(4433) == ["[2001:db8::1]:4433"]
    assert "SSSS" not in repr(settings)


def test_there_are_no_more_places_for_clients_than_the_limit_of_open_files_leaves() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    settings = load(EdgeSettings, BESIDE_A_HUB)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2_000, hard))
    try:
        limits = settings.limits
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert settings.max_clients == 50_000
    assert limits.clients == (2_000 - SPARE_DESCRIPTORS) / 2


def test_addresses_that_are_given_are_advertised_under_either_name() -> None:
    for name in ("TOWONEL_EDGE_ADVERTISED_ADDRESSES", "TOWONEL_EDGE_PUBLIC_ADDRESSES"):
        settings = load(EdgeSettings, {**BESIDE_A_HUB, name: "a.eu:1, [::1]:2"})

        assert settings.agent_addresses(443) == ["a.eu:1", "[::1]:2"]


def test_trusted_proxies_are_networks_and_count_only_where_they_are_on() -> None:
    networks = {**BESIDE_A_HUB, "TOWONEL_EDGE_PROXY_PROTOCOL_TRUSTED": "192.0.2.0/24"}
    on = load(EdgeSettings, {**networks, "TOWONEL_EDGE_PROXY_PROTOCOL": "true"})

    assert [str(network) for network in on.proxies] == ["192.0.2.0/24"]
    assert load(EdgeSettings, networks).proxies == ()


def test_blank_secrets_count_as_missing() -> None:
    blank = {"TOWONEL_EDGE_INVITE_TOKEN": " ", "TOWONEL_REDIS_URL": ""}
    settings = load(EdgeSettings, {**BESIDE_A_HUB, **blank})

    assert settings.token is None
    assert settings.redis_url is None


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("TOWONEL_EDGE_INVITE_TOKEN", TOKEN.encode()[:-5], "seed"),
        ("TOWONEL_EDGE_HUB_URL", "http://hub.example.eu", "https://"),
        ("TOWONEL_EDGE_LISTEN_ADDR", "edge.example.eu:443", "IP address"),
        ("TOWONEL_EDGE_ADVERTISED_ADDRESSES", "nowhere", "host:port"),
        ("TOWONEL_EDGE_PROXY_PROTOCOL_TRUSTED", "10.0.0.0/33", "10.0.0.0/33"),
        ("TOWONEL_REDIS_URL", "http://user:sesame@host", "redis://"),
        ("TOWONEL_EDGE_LISTEN_ADRR", "x", "did you mean TOWONEL_EDGE_LISTEN_ADDR"),
        ("TOWONEL_EDGE_HANDSHAKE_TIMEOUT_SECS", "0", "greater than 0"),
        ("TOWONEL_RELAY_ENGINE", "rust", "must be auto, compiled or python"),
    ],
)
def test_a_mistake_is_named_with_its_rule_and_without_its_secret(
    name: str, value: str, rule: str
) -> None:
    found = problem(**{name: value})

    assert found.startswith(name)
    assert rule in found
    assert "sesame" not in found
    assert "S1NLU0" not in found


def test_without_a_key_and_a_token_the_folder_is_asked_for() -> None:
    with pytest.raises(SettingsError) as caught:
        load(EdgeSettings, {})

    (line,) = caught.value.problems
    assert line.startswith("TOWONEL_DATA_DIR: must be set to a folder")
    assert "TOWONEL_EDGE_INVITE_TOKEN" in line
    assert "`towonel edge-invite create`" in line


def test_a_token_alone_makes_an_edge() -> None:
    settings = load(EdgeSettings, {"TOWONEL_EDGE_INVITE_TOKEN": TOKEN.encode()})

    assert settings.hub_url == "https://hub.example.eu"
    assert settings.state_folder == Path("edge")
    assert settings.agent_addresses(443) == []


def test_of_several_hubs_the_first_is_used_and_the_variable_is_deprecated() -> None:
    urls = {"TOWONEL_EDGE_HUB_URLS": "https://a.eu,https://b.eu"}
    settings = load(EdgeSettings, {**BESIDE_A_HUB, **urls})
    both = load(EdgeSettings, {**BESIDE_A_HUB, **urls, "TOWONEL_EDGE_HUB_URL": "https://c.eu"})

    assert (settings.hub_url, both.hub_url) == ("https://a.eu", "https://c.eu")
    (warning,) = settings.warnings
    assert warning.startswith("TOWONEL_EDGE_HUB_URLS: deprecated; use TOWONEL_EDGE_HUB_URL")
    assert warning.endswith(": 1 more are not used")


def test_the_hub_of_a_token_is_held_to_the_rule_of_hubs() -> None:
    token = EdgeToken("https://me:hunter2@hub.example.eu", bytes(16), bytes(32), bytes(32))
    found = problem(TOWONEL_EDGE_INVITE_TOKEN=token.encode())

    assert found.startswith("TOWONEL_EDGE_HUB_URL: the one in TOWONEL_EDGE_INVITE_TOKEN: ")
    assert "hunter2" not in found


def test_sessions_taken_at_one_address_are_advertised_there() -> None:
    session = {"TOWONEL_DATA_DIR": "/state", "TOWONEL_EDGE_SESSION_LISTEN_ADDR": "192.0.2.7:4433"}

    assert load(EdgeSettings, session).agent_addresses(4433) == ["192.0.2.7:4433"]


def test_the_buffers_of_a_tenant_are_set_one_by_one_in_mebibytes() -> None:
    environ = {
        "TOWONEL_EDGE_MAX_SEND_BUFFER_PER_TENANT_MIB": "3",
        "TOWONEL_EDGE_MAX_RECEIVE_BUFFER_PER_TENANT_MIB": "5",
    }
    limits = find_session_limits(load(EdgeSettings, {**BESIDE_A_HUB, **environ}))

    assert limits.send_bytes_per_tenant == 3 * 2**20
    assert limits.receive_bytes_per_tenant == 5 * 2**20


@pytest.mark.parametrize(
    ("text", "share"), [("off", 0), ("on", 1), ("True", 1), ("1", 1), ("0.01", 0.01), (" 0 ", 0)]
)
def test_an_access_log_is_on_off_or_a_share(text: str, share: float) -> None:
    settings = load(EdgeSettings, {**BESIDE_A_HUB, "TOWONEL_EDGE_ACCESS_LOG": text})

    assert settings.access_log == share


@pytest.mark.parametrize("text", ["some", "1.5", "-0.1", "nan", "1%"])
def test_an_access_log_that_is_none_of_these_is_an_error(text: str) -> None:
    assert problem(TOWONEL_EDGE_ACCESS_LOG=text) == (
        "TOWONEL_EDGE_ACCESS_LOG: must be on, off, or a share from 0 to 1,"
        " as in 0.01 for one in a hundred"
    )


def test_certificates_are_ordered_where_an_address_or_an_authority_is_named() -> None:
    name = "TOWONEL_EDGE_TLS_ACME_EMAIL"

    def find(**variables: str) -> Authority | None:
        return find_authority(load(EdgeSettings, {**BESIDE_A_HUB, **variables}))

    assert find() is None
    assert find(**{name: "me@example.eu"}) == Authority(LETS_ENCRYPT, "me@example.eu")
    staging = find(**{name: "me@example.eu", "TOWONEL_EDGE_TLS_ACME_STAGING": "true"})
    assert staging == Authority(STAGING, "me@example.eu")
    own = find(
        TOWONEL_EDGE_TLS_ACME_DIRECTORY="https://ca.example.eu/dir",
        TOWONEL_EDGE_TLS_ACME_ROOT="/etc/ca.pem",
        TOWONEL_EDGE_TLS_ACME_EAB_KEY_ID="kid",
        TOWONEL_EDGE_TLS_ACME_EAB_HMAC_KEY="c2VjcmV0",
        TOWONEL_EDGE_TLS_ACME_EAGER="false",
    )
    assert own == Authority(
        "https://ca.example.eu/dir", None, Path("/etc/ca.pem"), ("kid", "c2VjcmV0"), eager=False
    )
    assert "c2VjcmV0" not in repr(own)


def test_what_is_wrong_with_an_authority_is_said() -> None:
    name = "TOWONEL_EDGE_TLS_ACME_EMAIL"
    assert problem(TOWONEL_EDGE_TLS_ACME_DIRECTORY="http://ca.example.eu") == (
        "TOWONEL_EDGE_TLS_ACME_DIRECTORY: must be a URL that begins with https://"
    )
    assert problem(TOWONEL_EDGE_TLS_ACME_EAB_KEY_ID="kid") == (
        "TOWONEL_EDGE_TLS_ACME_EAB_HMAC_KEY: goes with TOWONEL_EDGE_TLS_ACME_EAB_KEY_ID:"
        " set both, or neither"
    )
    for text in ("me", "me@", "a@b c", "a@b{", 'a@"b'):
        assert problem(TOWONEL_EDGE_TLS_ACME_EMAIL=text) == (
            f"{name}: must be an address of mail, as in me@example.eu"
        )


def test_a_region_is_a_short_word_in_whatever_case() -> None:
    assert load(EdgeSettings, BESIDE_A_HUB).region is None
    assert load(EdgeSettings, {**BESIDE_A_HUB, "TOWONEL_EDGE_REGION": "EU"}).region == "eu"
    assert "TOWONEL_EDGE_REGION: region 'e u' must be 1 to 63" in problem(TOWONEL_EDGE_REGION="e u")


@pytest.mark.parametrize(
    ("environ", "route"),
    [
        ({}, None),  # clients come to port 8443, where a proxy is
        (
            {"TOWONEL_HUB_PUBLIC_URL": "https://hub.example.eu"},
            ("hub.example.eu", "http://127.0.0.1:8443"),
        ),
        (
            {
                "TOWONEL_HUB_PUBLIC_URL": "https://hub.example.eu:10443",
                "TOWONEL_EDGE_LISTEN_ADDR": "0.0.0.0:10443",
                "TOWONEL_HUB_LISTEN_ADDR": "127.0.0.1:9443",
            },
            ("hub.example.eu", "http://127.0.0.1:9443"),
        ),
        (
            {
                "TOWONEL_HUB_PUBLIC_URL": "https://hub.example.eu",
                "TOWONEL_EDGE_SELF_ROUTE": "off",
            },
            None,
        ),
        (
            {
                "TOWONEL_HUB_PUBLIC_URL": "https://hub.example.eu",
                "TOWONEL_EDGE_INVITE_TOKEN": TOKEN.encode(),
            },
            None,
        ),
        (
            {"TOWONEL_EDGE_SELF_ROUTE": "api.example.eu=http://127.0.0.1:8000"},
            ("api.example.eu", "http://127.0.0.1:8000"),
        ),
    ],
)
def test_the_hubs_own_name_is_answered_beside_it_or_where_it_is_named(
    environ: dict[str, str], route: tuple[str, str] | None
) -> None:
    assert load(EdgeSettings, BESIDE_A_HUB | environ).hub_route == route


def test_an_edge_elsewhere_asks_the_hub_directly_whose_name_it_answers() -> None:
    environ = {
        "TOWONEL_EDGE_INVITE_TOKEN": TOKEN.encode(),
        "TOWONEL_EDGE_SELF_ROUTE": "hub.example.eu=http://10.0.0.5:8443",
    }
    settings = load(EdgeSettings, environ | {"TOWONEL_ALLOW_INSECURE_HUB": "true"})

    assert settings.hub_url == "http://10.0.0.5:8443"
    assert "TOWONEL_EDGE_SELF_ROUTE: the hub's URL must start with https://" in problem(**environ)
