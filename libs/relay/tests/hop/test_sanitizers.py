"""Compiled hop under AddressSanitizer and UndefinedBehaviorSanitizer, with the tests that all forms pass."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SOURCE = ROOT / "libs/relay/src/towonel/relay/hop/_compiled.c"
NAMES = ("test_calls.py", "test_hop.py", "test_hop_fuzz.py")
TESTS = [str(Path(__file__).with_name(name)) for name in NAMES]
# Python itself frees little at its end; its allocator would hide what is written beside a block.
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=66",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=66",
    "PYTHONMALLOC": "malloc",
}


def compile_into(folder: Path, source: Path) -> Path:
    """Compile the hop with both sanitizers, as a module of its own."""
    module = folder / f"_compiled{sysconfig.get_config_var('EXT_SUFFIX')}"
    options = ["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-shared"]
    options += ["-fPIC", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    options += [f"-I{sysconfig.get_path('include')}", str(source), "-o", str(module)]
    subprocess.run(["cc", *options], check=True)
    return module


def run_tests(module: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of the hop with a compiled one of their own."""
    found = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    )
    environ = os.environ | ENVIRONMENT | {"LD_PRELOAD": found.stdout.strip()}
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-qs", "-p", "support.replaced_hop"),
            *("-p", "no:cacheprovider", *TESTS, *more),
        ],
        cwd=ROOT,
        env=environ | {"TEST_COMPILED_HOP": str(module), "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "more", [(), pytest.param(("--soak",), marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_the_sanitizers_find_nothing(tmp_path: Path, more: tuple[str, ...]) -> None:
    run = run_tests(compile_into(tmp_path, SOURCE), *more)

    assert run.returncode == 0, run.stdout[-10_000:] + run.stderr[-10_000:]
    assert " passed" in run.stdout


@pytest.mark.soak
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("frame + HEAD_BYTES, (size_t)hop.buffer.len - HEAD_BYTES", "frame + HEAD_BYTES, 4096"),
        ("(uint32_t)at[0] << 24", "(int)at[0] << 28"),
    ],
    ids=["address", "undefined behaviour"],
)
def test_the_sanitizers_find_a_fault(tmp_path: Path, right: str, wrong: str) -> None:
    text = SOURCE.read_text()
    assert right in text
    faulty = tmp_path / "faulty.c"
    faulty.write_text(text.replace(right, wrong))

    run = run_tests(compile_into(tmp_path, faulty), "-k", "whole or one_frame or fill")

    assert run.returncode == 66, run.stdout[-2_000:] + run.stderr[-2_000:]
    assert "ERROR: AddressSanitizer" in run.stderr or "runtime error" in run.stderr
