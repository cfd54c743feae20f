"""Prometheus' own tool, which reads rules and configurations as Prometheus does."""

import subprocess


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("promtool", *arguments), capture_output=True, text=True, check=False)
