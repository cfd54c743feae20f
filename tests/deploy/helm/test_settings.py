"""Variables of the pods are settings of their programs, and every setting can be set."""

from typing import Any

import pytest
from support.chart_schemas import OWN_VARIABLES, PROGRAMS, UNUSED_VARIABLES, setting_names
from support.charts import AGENT, CASES, EDGE, HUB, kinds, objects, program_variables, render

from towonel.agent.core.checks.origin_check import CheckKind, OriginCheck
from towonel.agent.settings import SERVICE_FIELDS
from towonel.runtime.settings import load, variables

pytestmark = pytest.mark.xdist_group("charts")  # one process renders each case once

OF_ONE_CHART = [name for name, case in CASES.items() if case.chart != "towonel"]
FILE_SUFFIX = "_FILE"


def program_of(case: str) -> str:
    return CASES[case].chart.removeprefix("towonel-")


def names_of(case: str) -> set[str]:
    found = {name for name in program_variables(case) if name.startswith("TOWONEL_")}
    return {name.removesuffix(FILE_SUFFIX) for name in found}


@pytest.mark.parametrize("case", OF_ONE_CHART)
def test_every_variable_of_a_pod_is_a_setting_of_its_program(case: str) -> None:
    known = {variable.name for variable in variables(PROGRAMS[program_of(case)])}

    assert len(names_of(case)) > 3
    assert names_of(case) - known == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_the_charts_set_themselves_they_do_set(program: str) -> None:
    cases = [case for case in OF_ONE_CHART if program_of(case) == program]
    given = {name for case in cases for name in names_of(case)}

    assert OWN_VARIABLES[program] - given == set()
    assert UNUSED_VARIABLES[program] & given == set()


def test_every_setting_can_be_set_in_one_way() -> None:
    for program, settings in PROGRAMS.items():
        own, unused = OWN_VARIABLES[program], UNUSED_VARIABLES[program]
        rest = set(setting_names(program))

        assert {v.name for v in variables(settings)} == rest | own | unused
        assert not rest & (own | unused)


def test_settings_are_variables_as_they_were_written() -> None:
    given = program_variables("hub-with-settings")

    assert given["TOWONEL_HUB_ROUTE_CHANGES_BURST"] == "1000000"
    assert given["TOWONEL_HUB_RATE_LIMIT_PER_SEC"] == "2.5"
    assert given["TOWONEL_HUB_RESERVED_PORTS"] == "443,8443"
    assert given["TOWONEL_HUB_OPEN_TENANT_LOGS"] == "true"
    assert given["OTEL_EXPORTER_OTLP_ENDPOINT"] == {
        "secretKeyRef": {"name": "collector", "key": "url"}
    }


def test_other_variables_and_authorities_are_added() -> None:
    given = program_variables("edges")

    assert given["OTEL_SERVICE_NAME"] == "here"
    assert given["SSL_CERT_FILE"] == "/etc/towonel/ca/ca.crt"


def plain(case: str) -> dict[str, str]:
    """Return the variables of a case that are values of their own, with those of Kubernetes filled in."""
    found: dict[str, Any] = program_variables(case)
    facts = {"$(EDGE_NAME)": "demo-edge-0", "$(HOST_IP)": "192.0.2.7"}
    values = {name: value for name, value in found.items() if isinstance(value, str)}
    for fact, text in facts.items():
        values = {name: value.replace(fact, text) for name, value in values.items()}
    return values


@pytest.mark.parametrize(
    "case", ["hub", "hub-behind-ingress", "hub-with-settings", "edge-beside-hub"]
)
def test_a_program_takes_the_variables_of_its_pod(case: str) -> None:
    settings = load(PROGRAMS[program_of(case)], plain(case))

    assert settings.warnings == ()


def test_services_of_an_agent_are_what_its_program_reads() -> None:
    given = plain("agents-scaled")
    fields = PROGRAMS["agent"].model_fields
    https, tcp, udp = (fields[name].metadata[0].func for name in SERVICE_FIELDS)

    (service,) = https(given["TOWONEL_AGENT_SERVICES"])
    ssh, db = tcp(given["TOWONEL_AGENT_TCP_SERVICES"])
    dns, vpn, game = udp(given["TOWONEL_AGENT_UDP_SERVICES"])

    assert service.origin.port == 443
    assert (ssh.port, ssh.origin.idle_timeout_s, db.port) == (2222, 3600, "auto")
    assert (dns.port, dns.origin.idle_timeout_s) == (5353, 5)
    assert (vpn.port, vpn.origin.max_unanswered_bytes) == ("auto", 10**9)
    assert db.check == OriginCheck(CheckKind.TCP)
    assert vpn.check == OriginCheck(CheckKind.HTTP, "/healthz", ("wg", 8080), interval_s=10)
    assert vpn.is_sticky
    assert (game.ports, str(game.origin)) == ("27015-27030", "game:27015-27030")


def test_a_setting_of_another_program_is_no_variable_of_this_one() -> None:
    for chart, values in (("towonel-edge", EDGE), ("towonel-agent", AGENT), ("towonel-hub", HUB)):
        with pytest.raises(ValueError, match="TOWONEL_OPERATOR_KEY"):
            render(chart, {**values, "env": {"TOWONEL_OPERATOR_KEY": "secret"}})


@pytest.mark.parametrize("case", CASES)
def test_no_secret_is_in_a_configmap_or_a_variable(case: str) -> None:
    secret = {v.name for settings in PROGRAMS.values() for v in variables(settings) if v.is_secret}
    workloads = kinds(case, "Deployment", "StatefulSet", "DaemonSet")
    containers = [one["spec"]["template"]["spec"]["containers"][0] for one in workloads]
    told = [one["name"] for found in containers for one in found["env"] if "value" in one]
    texts = str([one for one in objects(case) if one["kind"] == "ConfigMap"])

    assert secret & set(told) == set()
    assert [
        word for word in ("operator.key", "tt_inv_", "tt_edge_", "password") if word in texts
    ] == []
