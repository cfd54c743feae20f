"""Wheels that are written anew: of the engine one for each machine, and one with nothing compiled."""

import base64
import csv
import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest
from platforms import MACHINES, name_tag, write_headers
from wheel_files import Wheel

PURE = "py3-none-any"
LINUX = "cp313-cp313-manylinux_2_17_aarch64"
ABOUT = "towonel_relay-0.1.0.dist-info"
METADATA = """Metadata-Version: 2.4
Name: towonel-relay
Requires-Dist: towonel-wire
Requires-Dist: towonel-runtime[redis]
Requires-Dist: cbor2
Provides-Extra: towonel-extra
"""
BUILT = {
    "towonel/relay/loop.py": "loop = 1\n",
    "towonel/relay/hop/_compiled.cpython-313-x86_64-linux-gnu.so": "of this machine",
    f"{ABOUT}/METADATA": METADATA,
    f"{ABOUT}/WHEEL": "Root-Is-Purelib: false\nTag: cp313-cp313-linux_x86_64\n",
    f"{ABOUT}/RECORD": "",
}
HOP = {"towonel/relay/hop/_compiled.cpython-313-aarch64-linux-gnu.so": b"of another"}


def build(folder: Path, names: list[str]) -> Wheel:
    path = folder / "towonel_relay-0.1.0-cp313-cp313-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 28, 1, 30, 0)), BUILT[name])
    return Wheel(path)


@pytest.fixture
def built(tmp_path: Path) -> Wheel:
    """Return what a build on this machine made, with a compiler."""
    return build(tmp_path, [*BUILT])


def read(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_pure_wheel_has_nothing_compiled_whatever_the_build_had(
    built: Wheel, tmp_path: Path
) -> None:
    path = built.write(tmp_path, PURE)

    assert path.name == "towonel_relay-0.1.0-py3-none-any.whl"
    assert [name for name in read(path) if name.endswith(".so")] == []
    assert "Root-Is-Purelib: true\nTag: py3-none-any\n" in read(path)[f"{ABOUT}/WHEEL"]


def test_a_wheel_of_a_machine_has_what_was_compiled_for_it_and_says_so(
    built: Wheel, tmp_path: Path
) -> None:
    path = built.write(tmp_path, LINUX, HOP)

    assert path.name == f"towonel_relay-0.1.0-{LINUX}.whl"
    assert [name for name in read(path) if name.endswith(".so")] == [*HOP]
    assert f"Root-Is-Purelib: false\nTag: {LINUX}\n" in read(path)[f"{ABOUT}/WHEEL"]


def test_a_wheel_asks_for_our_other_packages_in_its_own_version(
    built: Wheel, tmp_path: Path
) -> None:
    about = read(built.write(tmp_path, PURE))[f"{ABOUT}/METADATA"].splitlines()

    assert [line for line in about if line not in METADATA.splitlines()] == [
        "Requires-Dist: towonel-wire==0.1.0",
        "Requires-Dist: towonel-runtime[redis]==0.1.0",
    ]
    assert len(about) == len(METADATA.splitlines())


def test_a_wheel_lists_each_of_its_files_once_with_its_digest(built: Wheel, tmp_path: Path) -> None:
    files = read(built.write(tmp_path, LINUX, HOP))
    rows = {name: rest for name, *rest in csv.reader(files[f"{ABOUT}/RECORD"].splitlines())}

    assert rows.pop(f"{ABOUT}/RECORD") == ["", ""]
    for name, (digest, size) in rows.items():
        data = files[name].encode()
        known = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        assert (digest, size) == (f"sha256={known}", str(len(data)))
    assert {*rows, f"{ABOUT}/RECORD"} == {*files}


def test_the_same_files_make_the_same_wheel_in_whatever_order_they_come(tmp_path: Path) -> None:
    made: list[bytes] = []
    for folder, names in (("one", [*BUILT]), ("other", [*reversed(BUILT)])):
        (tmp_path / folder).mkdir()
        wheel = build(tmp_path / folder, names)
        made.append(wheel.write(tmp_path / folder, LINUX, HOP).read_bytes())

    assert made[0] == made[1]


def test_a_wheel_names_the_oldest_glibc_that_it_is_compiled_for() -> None:
    assert [name_tag(machine) for machine in MACHINES] == [
        "manylinux_2_17_x86_64",
        "manylinux_2_17_aarch64",
    ]


def test_the_headers_for_arm64_have_no_assembler_of_amd64(tmp_path: Path) -> None:
    headers = write_headers(tmp_path / "include", "aarch64")
    command = ["cc", "-E", "-dM", str(headers / "pyconfig.h")]
    defined = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "#define SIZEOF_LONG 8\n" in defined
    assert "ASM_FOR_X" not in defined
