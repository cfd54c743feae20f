"""Alerts, as Prometheus decides them: each fires for its own trouble, and none while all is well."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.promtool import promtool

ALERTS = Path(__file__).parents[2] / "deploy/monitoring/alerts.yaml"
HUB, EDGE, AGENT = (f'job="towonel-{name}", instance="{name}"' for name in ("hub", "edge", "agent"))
# A sample a minute: `a+bxN` begins at a, and grows by b each minute.
HEALTHY = {
    **{f"up{{{one}}}": "1x30" for one in (HUB, EDGE, AGENT)},
    **{f"process_open_fds{{{one}}}": "100x30" for one in (HUB, EDGE, AGENT)},
    **{f"process_max_fds{{{one}}}": "1000x30" for one in (HUB, EDGE, AGENT)},
    f"towonel_hub_ready{{{HUB}}}": "1x30",
    f"towonel_hub_database_up{{{HUB}}}": "1x30",
    f'towonel_hub_degraded{{{HUB}, check="redis"}}': "0x30",
    f'towonel_hub_requests_total{{{HUB}, endpoint="/v1/routes", status="200"}}': "0+600x30",
    f'towonel_hub_requests_total{{{HUB}, endpoint="/v1/routes", status="503"}}': "0+6x30",
    f'towonel_hub_refused_total{{{HUB}, code="unauthorized"}}': "0+6x30",
    f"towonel_hub_edges_live{{{HUB}}}": "1x30",
    f"towonel_hub_routes_revision{{{HUB}}}": "7+1x30",
    f"towonel_edge_ready{{{EDGE}}}": "1x30",
    f'towonel_edge_degraded{{{EDGE}, check="hub"}}': "0x30",
    f"towonel_edge_hub_reachable{{{EDGE}}}": "1x30",
    f"towonel_edge_route_revision{{{EDGE}}}": "7+1x30",
    f'towonel_edge_connections_refused_total{{{EDGE}, code="overloaded"}}': "0+1x30",
    f'towonel_edge_connections_refused_total{{{EDGE}, code="no_agent"}}': "0+1x30",
    f"towonel_edge_accept_errors_total{{{EDGE}}}": "3x30",
    f'towonel_edge_listeners{{{EDGE}, protocol="udp", state="failed"}}': "0x30",
    f'towonel_edge_flows_ended_total{{{EDGE}, code="limit_exceeded"}}': "0+1x30",
    f"towonel_edge_datagrams_in_total{{{EDGE}}}": "0+6000x30",
    f"towonel_edge_datagrams_out_total{{{EDGE}}}": "0+6000x30",
    f'towonel_edge_datagrams_dropped_total{{{EDGE}, reason="incomplete"}}': "0+60x30",
    f"towonel_edge_route_index_failures_total{{{EDGE}}}": "3x30",
    f"towonel_edge_worker_restarts_total{{{EDGE}}}": "3x30",
    f'towonel_edge_certificate_orders_refused_total{{{EDGE}, reason="domain_budget"}}': "3x30",
    f"towonel_edge_certificates_failing{{{EDGE}}}": "0x30",
    f'towonel_edge_certificates_by_state{{{EDGE}, state="expiring"}}': "0x30",
    f"towonel_edge_certificate_next_expiry_seconds{{{EDGE}}}": "9000000x30",
    f"towonel_agent_ready{{{AGENT}}}": "1x30",
    f'towonel_agent_degraded{{{AGENT}, check="lanes"}}': "0x30",
    f"towonel_agent_services_unpublished{{{AGENT}}}": "0x30",
    f"towonel_agent_origins_failing{{{AGENT}}}": "0x30",
    f'towonel_agent_public_certificates{{{AGENT}, state="different"}}': "0x30",
    f'towonel_agent_stream_errors_total{{{AGENT}, reason="origin_refused"}}': "0+1x30",
    f'towonel_agent_datagram_paths{{{AGENT}, state="down"}}': "0x30",
    f'towonel_agent_datagrams_total{{{AGENT}, direction="to_edge"}}': "0+6000x30",
    f'towonel_agent_datagrams_total{{{AGENT}, direction="to_origin"}}': "0+6000x30",
    f'towonel_agent_datagrams_dropped_total{{{AGENT}, reason="unanswered"}}': "0+60x30",
    f"towonel_agent_worker_restarts_total{{{AGENT}}}": "3x30",
}
# What is otherwise for each: the samples of one series.
TROUBLES = {
    "TowonelDown": (f"up{{{EDGE}}}", "1x15 0x15"),
    "TowonelFilesNearLimit": (f"process_open_fds{{{EDGE}}}", "900x30"),
    "TowonelHubNotReady": (f"towonel_hub_ready{{{HUB}}}", "0x30"),
    "TowonelHubDatabaseDown": (f"towonel_hub_database_up{{{HUB}}}", "0x30"),
    "TowonelHubDegraded": (f'towonel_hub_degraded{{{HUB}, check="redis"}}', "1x30"),
    "TowonelHubFailsRequests": (
        f'towonel_hub_requests_total{{{HUB}, endpoint="/v1/routes", status="503"}}',
        "0+60x30",
    ),
    "TowonelHubRefusesKeys": (
        f'towonel_hub_refused_total{{{HUB}, code="unauthorized"}}',
        "0+120x30",
    ),
    "TowonelNoEdges": (f"towonel_hub_edges_live{{{HUB}}}", "0x30"),
    "TowonelEdgeNotReady": (f"towonel_edge_ready{{{EDGE}}}", "0x30"),
    "TowonelEdgeDegraded": (f'towonel_edge_degraded{{{EDGE}, check="hub"}}', "1x30"),
    "TowonelEdgeHubUnreachable": (f"towonel_edge_hub_reachable{{{EDGE}}}", "0x30"),
    "TowonelEdgeBehind": (f"towonel_edge_route_revision{{{EDGE}}}", "7x30"),
    "TowonelEdgeOverloaded": (
        f'towonel_edge_connections_refused_total{{{EDGE}, code="overloaded"}}',
        "0+60x30",
    ),
    "TowonelServiceWithoutAgent": (
        f'towonel_edge_connections_refused_total{{{EDGE}, code="no_agent"}}',
        "0+60x30",
    ),
    "TowonelEdgeAcceptErrors": (f"towonel_edge_accept_errors_total{{{EDGE}}}", "3+1x30"),
    "TowonelEdgePortsUnavailable": (
        f'towonel_edge_listeners{{{EDGE}, protocol="udp", state="failed"}}',
        "1x30",
    ),
    "TowonelEdgeFlowsFull": (
        f'towonel_edge_flows_ended_total{{{EDGE}, code="limit_exceeded"}}',
        "0+60x30",
    ),
    "TowonelEdgeDropsDatagrams": (
        f'towonel_edge_datagrams_dropped_total{{{EDGE}, reason="incomplete"}}',
        "0+600x30",
    ),
    "TowonelEdgeRoutesWithoutMemory": (
        f"towonel_edge_route_index_failures_total{{{EDGE}}}",
        "3+4x30",
    ),
    "TowonelCertificatesFail": (f"towonel_edge_certificates_failing{{{EDGE}}}", "1x30"),
    "TowonelCertificatesExpiring": (
        f'towonel_edge_certificates_by_state{{{EDGE}, state="expiring"}}',
        "2x30",
    ),
    "TowonelCertificatesEnd": (
        f"towonel_edge_certificate_next_expiry_seconds{{{EDGE}}}",
        "80000x30",
    ),
    "TowonelEdgeWorkersEnd": (f"towonel_edge_worker_restarts_total{{{EDGE}}}", "3x15 4x15"),
    "TowonelCertificateBudgetUsedUp": (
        f'towonel_edge_certificate_orders_refused_total{{{EDGE}, reason="domain_budget"}}',
        "3x15 4x15",
    ),
    "TowonelAgentNotReady": (f"towonel_agent_ready{{{AGENT}}}", "0x30"),
    "TowonelAgentDegraded": (f'towonel_agent_degraded{{{AGENT}, check="lanes"}}', "1x30"),
    "TowonelAgentServicesUnpublished": (
        f"towonel_agent_services_unpublished{{{AGENT}}}",
        "2x30",
    ),
    "TowonelOriginFailsChecks": (f"towonel_agent_origins_failing{{{AGENT}}}", "1x30"),
    "TowonelPublicCertificateDiffers": (
        f'towonel_agent_public_certificates{{{AGENT}, state="different"}}',
        "1x30",
    ),
    "TowonelOriginFails": (
        f'towonel_agent_stream_errors_total{{{AGENT}, reason="origin_refused"}}',
        "0+60x30",
    ),
    "TowonelAgentDatagramsBlocked": (
        f'towonel_agent_datagram_paths{{{AGENT}, state="down"}}',
        "1x30",
    ),
    "TowonelAgentDropsDatagrams": (
        f'towonel_agent_datagrams_dropped_total{{{AGENT}, reason="unanswered"}}',
        "0+600x30",
    ),
    "TowonelAgentWorkersEnd": (f"towonel_agent_worker_restarts_total{{{AGENT}}}", "3x15 4x15"),
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def question(series: dict[str, str], firing: list[str]) -> dict[str, object]:
    """Ask which alerts fire after 20 minutes of these samples."""
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in firing]
    expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expression, "eval_time": "20m", "exp_samples": samples}],
    }


def check_answer(folder: Path, asked: dict[str, object]) -> None:
    file = folder / "test.yaml"
    content = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [asked]}
    file.write_text(yaml.safe_dump(content))

    said = promtool("test", "rules", str(file))

    assert said.returncode == 0, said.stdout + said.stderr


def test_prometheus_takes_the_rules() -> None:
    said = promtool("check", "rules", str(ALERTS))

    assert said.returncode == 0, said.stderr
    assert f"{len(rules())} rules found" in said.stdout


def test_no_alert_fires_while_all_is_well(tmp_path: Path) -> None:
    check_answer(tmp_path, question(HEALTHY, []))


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules()])
def test_an_alert_fires_for_its_trouble_and_no_other_does(tmp_path: Path, alert: str) -> None:
    series, values = TROUBLES[alert]

    assert series in HEALTHY
    check_answer(tmp_path, question(HEALTHY | {series: values}, [alert]))


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules() if "for" in rule])
def test_an_alert_waits_for_a_moment_that_passes(tmp_path: Path, alert: str) -> None:
    """What has begun a minute ago wakes nobody."""
    series, values = TROUBLES[alert]
    start = HEALTHY[series].removesuffix("x30")
    before, _, growth = start.partition("+")
    at = float(before) + 19 * float(growth or 0)
    bad = values.removesuffix("x30").split()[-1].removesuffix("x15")
    steady = bad.partition("+")[2]
    late = f"{start}x18 {at + float(steady):g}+{steady}x11" if steady else f"{start}x18 {bad}x11"

    check_answer(tmp_path, question(HEALTHY | {series: late}, []))


def test_promtool_notices_a_wrong_answer(tmp_path: Path) -> None:
    """Prevents the tests above from passing because nothing was evaluated."""
    with pytest.raises(AssertionError, match="TowonelDown"):
        check_answer(tmp_path, question(HEALTHY, ["TowonelDown"]))
