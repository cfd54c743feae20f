"""Commands of README for a cluster: charts take what they set. A test with a cluster runs `story("kube")` itself."""

import shlex

from support.charts import Values, parse, render
from support.documents import ROOT, story


def read_install(line: str) -> tuple[str, Values, str]:
    """Return the chart, the values and the name of a `helm install`."""
    _, _, name, chart, *flags = shlex.split(line)
    assert (ROOT / chart / "Chart.yaml").is_file(), chart
    pairs = [flags[at + 1].split("=", 1) for at, flag in enumerate(flags) if flag == "--set"]
    return chart.rpartition("/")[2], dict(pairs), name


def test_charts_take_what_the_readme_sets() -> None:
    text = "".join(block.text for block in story("kube")).replace("\\\n", "")
    installs = [line for line in text.splitlines() if line.startswith("helm install ")]

    assert installs
    for line in installs:
        assert [*parse(render(*read_install(line)))]
