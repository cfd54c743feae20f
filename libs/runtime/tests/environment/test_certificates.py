"""SSL_CERT_FILE: a file that cannot be used is named before anything connects."""

from pathlib import Path

import pytest
import trustme

from towonel.runtime.environment.certificates import find_certificate_problem

RULE = "; it takes the path of a PEM file"


def test_a_file_that_does_not_exist_is_named_with_its_variable(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    problem = find_certificate_problem({"SSL_CERT_FILE": str(path)})

    assert problem is not None
    assert problem.startswith(f"SSL_CERT_FILE: cannot read {path}: No such file or directory{RULE}")


@pytest.mark.parametrize("content", ["", "no certificate\n"])
def test_a_file_without_a_certificate_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(content)
    problem = find_certificate_problem({"SSL_CERT_FILE": str(path)})

    assert problem is not None
    assert problem.startswith(f"SSL_CERT_FILE: {path} has no certificate in PEM{RULE}")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    problem = find_certificate_problem({"SSL_CERT_FILE": str(tmp_path)})

    assert problem is not None
    assert problem.startswith("SSL_CERT_FILE: ")


def test_an_authority_and_none_are_fine(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")

    assert find_certificate_problem({"SSL_CERT_FILE": str(tmp_path / "ca.pem")}) is None
    assert find_certificate_problem({"SSL_CERT_FILE": ""}) is None
    assert find_certificate_problem({}) is None
