"""The wheel by itself: what is in it, and that it does the main job from an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from packaging.metadata import parse_email
from packaging.requirements import Requirement

from finops_policy import __version__
from finops_policy.evidence.parquet import read_evaluations
from tests.cli.conftest import FullRun
from tests.cli.kit import ROOT, Result, environment, finops

FOLDERS = ("customers", "docs", "finops_policy", "policies", "reports", "schemas")
FILES = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg")
VERSION = "9.9.9"
TITLE = "Acme from the wheel"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, marked so that nothing of the checkout can be taken for it."""
    source = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    replace(source / "finops_policy" / "__init__.py", f'"{__version__}"', f'"{VERSION}"')
    replace(source / "customers" / "acme" / "customer.yaml", "title: Acme Health", f"title: {TITLE}")
    into = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(into), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = into.iterdir()
    return built


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


def files(folder: str, *suffixes: str) -> set[str]:
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix in suffixes)
    return {str(path.relative_to(ROOT)) for path in found}


def test_everything_it_needs_is_inside_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"finops_policy-{VERSION}.dist-info/"
    library = {
        *(files("customers/acme", ".yaml") | files("policies", ".yaml", ".md") | files("schemas", ".json")),
        *files("reports/templates", ".j2", ".css", ".js"),
    }
    code = files("finops_policy", ".py", ".typed", ".yaml")
    assert {"policies/pricebook.yaml", "policies/packs/idle-resources/CHANGELOG.md"} <= library
    assert {"finops_policy/sandbox/accounts/acme-prod.yaml", "finops_policy/py.typed"} <= code
    pages = {name.removeprefix("docs/") for name in files("docs/lint", ".md")}
    assert "lint/unknown-filter.md" in pages
    expected = code | {f"finops_policy/_library/{name}" for name in library | pages}
    assert {name for name in names if not name.startswith(info)} == expected
    assert {name.removeprefix(info) for name in names if name.startswith(info)} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
    }


def test_it_says_what_it_needs(wheel: Path) -> None:
    data = zipfile.ZipFile(wheel).read(f"finops_policy-{VERSION}.dist-info/METADATA")
    metadata, unparsed = parse_email(data)
    assert not unparsed
    needed = [Requirement(each) for each in metadata["requires_dist"]]
    plain = {each.name for each in needed if each.marker is None}
    assert {"c7n", "click", "duckdb", "jinja2", "jsonschema", "cryptography"} <= plain
    assert not plain & {"moto", "pytest", "build", "playwright"}
    extras = {(each.name, str(each.marker)) for each in needed if each.marker is not None}
    assert {("moto", 'extra == "sandbox"'), ("build", 'extra == "dev"'), ("setuptools", 'extra == "dev"')} <= extras
    assert metadata["requires_python"] == ">=3.11"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's package in it, and nothing else of this project."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run(
        [*command, str(folder), str(wheel)], check=True, env=environment({"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    )
    return folder


def test_it_does_the_main_job_from_an_empty_folder(installed: Path, place: Path, full_run: FullRun) -> None:
    def alone(*arguments: object) -> Result:
        return finops(*arguments, cwd=place, env={"PYTHONPATH": str(installed)})

    said = alone("run", "--customer", "acme", "--sandbox", "--format", "json")
    assert said.code == 4, said.err
    summary: dict[str, Any] = json.loads(said.out)
    assert summary["customer"]["title"] == TITLE
    assert summary["run"]["versions"]["finops-policy"] == VERSION

    written = alone("report", "--customer", "acme")
    assert written.code == 0, written.err
    html, data = (place / line for line in written.out.splitlines())
    report = json.loads(data.read_bytes())
    assert report["generator"]["version"] == VERSION
    assert report["totals"] == summary["totals"]
    assert TITLE in html.read_text("utf-8")
    assert alone("verify", "--customer", "acme").code == 0

    def findings(bundle: Path) -> Counter[tuple[str, ...]]:
        return Counter(
            (each.policy, each.account_id, each.region, each.arn or each.resource_id, each.verdict.value)
            for each in read_evaluations(bundle)
        )

    assert findings(place / summary["bundle"]) == findings(full_run.bundle), (
        "two runs, two sandboxes, the same findings"
    )


def test_the_checkout_is_not_what_was_tested(installed: Path, place: Path) -> None:
    code = (
        "import finops_policy, finops_policy.library as l; print(finops_policy.__file__, l.library_root(), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=environment({"PYTHONPATH": str(installed)}),
        capture_output=True,
        text=True,
        check=True,
    )
    package, library = map(Path, done.stdout.split())
    assert os.path.commonpath([package, library]) == str(installed / "finops_policy")
    assert library.name == "_library"
