"""Every combination of values that matters renders, to objects that an API server takes."""

import json
from collections import Counter
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import pytest
from referencing import Registry, Resource
from support.chart_schemas import CHARTS
from support.charts import CASES, Object, kinds, objects, render

pytestmark = pytest.mark.xdist_group("charts")  # one process renders each case once

VERSION = "v1.34.0-local-strict"
# Kinds that operators define, and not Kubernetes.
FOREIGN = {"HTTPRoute", "PrometheusRule", "ServiceMonitor"}


def read_schema(name: str) -> Any:
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / VERSION
    return json.loads((folder / f"{name}.json").read_text())


@cache
def definitions() -> Registry[Any]:
    return Resource.from_contents(read_schema("_definitions")) @ Registry()


@cache
def validator(kind: str, version: str) -> jsonschema.Draft202012Validator:
    group, _, number = version.rpartition("/")
    schema = read_schema("-".join(filter(None, [kind.lower(), group.partition(".")[0], number])))
    registry = Resource.from_contents(schema) @ definitions()
    return jsonschema.Draft202012Validator(schema, registry=registry)


def mistakes(found: Object) -> list[str]:
    checker = validator(found["kind"], found["apiVersion"])
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(found)]


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_what_kubernetes_takes(case: str) -> None:
    known = [one for one in objects(case) if one["kind"] not in FOREIGN]

    assert len(known) > 3
    assert {one["metadata"]["name"]: found for one in known if (found := mistakes(one))} == {}


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    (found,) = kinds("hub", "Deployment")

    assert mistakes(found | {"spec": found["spec"] | {"replica": 2}})


@pytest.mark.parametrize("case", CASES)
def test_no_two_objects_have_one_name(case: str) -> None:
    names = Counter((one["kind"], one["metadata"]["name"]) for one in objects(case))

    assert [name for name, count in names.items() if count > 1] == []
    assert {one["metadata"]["namespace"] for one in objects(case)} == {"tunnel"}


@pytest.mark.parametrize("case", ["hub", "edge", "agents", "all-with-agents"])
def test_charts_have_nothing_for_helm_lint_to_say(case: str) -> None:
    chart, values = CASES[case]
    report = helm_python.lint(CHARTS / chart, values, strict=True, with_subcharts=False)
    told = [one for one in report["messages"] if "icon" not in one["error"]]

    assert report["total_charts_linted"] == 1
    assert told == []


@pytest.mark.parametrize("case", CASES)
def test_notes_say_what_to_do_next(case: str) -> None:
    notes = [text for path, text in render(*CASES[case]).items() if path.endswith("NOTES.txt")]

    assert all("helm -n tunnel" in text or "kubectl -n tunnel" in text for text in notes)
    assert notes


@pytest.mark.parametrize("case", ["hubs-on-postgres", "edge", "agents", "all-with-agents"])
def test_a_package_has_what_the_links_lead_to(case: str, tmp_path: Path) -> None:
    chart, values = CASES[case]
    with helm_python.Chart.load(CHARTS / chart) as loaded:
        package = loaded.save(tmp_path)

    assert render(package, values).keys() == render(chart, values).keys()
    assert without_keys(render(package, values)) == without_keys(render(chart, values))


def without_keys(templates: dict[str, str]) -> dict[str, str]:
    """Return templates but for the keys of a hub, which are made anew each time."""
    return {path: text for path, text in templates.items() if not path.endswith("keys.yaml")}
