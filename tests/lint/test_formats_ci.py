"""The linter where pull requests are judged: GitHub's action, the pre-commit hook, GitLab's job, and their page."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pre_commit.clientlib import load_config, load_manifest

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
GITLAB = yaml.safe_load((ROOT / "ci" / "finops-policy.gitlab-ci.yml").read_text("utf-8"))["finops-policy-lint"]
PAGE = (ROOT / "docs" / "lint-in-pull-requests.md").read_text("utf-8")

GOOD = "policies:\n  - {name: all, resource: aws.ec2}\n"
BAD = "policies:\n  - {name: all, resource: aws.ec2, filters: [metric]}\n"


def valid(path: Path, schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def git(folder: Path, *arguments: str) -> str:
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True).stdout.strip()


# --- GitHub's action --------------------------------------------------------------------------------------------------


class Runner:
    """As much of GitHub's runner as the steps see: a checkout, the installed program, files, and expressions."""

    def __init__(self, folder: Path) -> None:
        self.temp, self.checkout = folder / "temp", folder / "checkout"
        self.output, self.summary = folder / "output", folder / "summary"
        self.bin = folder / "bin"
        for each in (self.temp, self.checkout, self.bin):
            each.mkdir()
        self.output.touch()
        self.summary.touch()
        installed = self.temp / "finops-policy" / "bin"
        program(installed / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        program(installed / "finops-policy", f'#!/bin/sh\nexec {sys.executable} -m finops_policy "$@"\n')
        self.context: dict[str, str] = {
            f"inputs.{name}": str(each.get("default", "")) for name, each in ACTION["inputs"].items()
        }

    def run(self, name: str, **environ: str) -> subprocess.CompletedProcess[str]:
        step = STEPS[name]
        assert "${{" not in step["run"], "text from outside never becomes a part of a script"
        declared = {key: self._expand(value) for key, value in step.get("env", {}).items()}
        script = self.temp / "script.sh"
        script.write_text(step["run"], "utf-8")
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT")}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.checkout,
            env={
                **kept,
                "PATH": f"{self.bin}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "RUNNER_TEMP": str(self.temp),
                "GITHUB_OUTPUT": str(self.output),
                "GITHUB_STEP_SUMMARY": str(self.summary),
                "GITHUB_REPOSITORY": "acme/policies",
                "GITHUB_SERVER_URL": "https://github.example.com",
                "GITHUB_ACTION_PATH": "/action",
                **declared,
                **environ,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def _expand(self, value: str) -> str:
        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda found: self.context.get(found[1], ""), value)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_the_action_is_valid() -> None:
    valid(ROOT / "action.yml", "github-actions")


def test_the_action_uses_every_input_and_no_other() -> None:
    text = (ROOT / "action.yml").read_text("utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    assert set(re.findall(r"steps\.([\w-]+)\.", text)) <= {step.get("id") for step in STEPS.values()}


def test_the_page_describes_every_input() -> None:
    section = PAGE[PAGE.index("## GitHub Actions") : PAGE.index("## pre-commit")]
    assert re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE) == list(ACTION["inputs"])


def test_it_is_installed_from_the_actions_own_checkout(runner: Runner) -> None:
    log = runner.temp / "log"
    record = f'#!/bin/sh\necho "$0 $*" >> {log}\n'
    program(runner.bin / "python", record)
    program(runner.temp / "finops-policy" / "bin" / "python", record)
    assert runner.run("Install finops-policy").returncode == 0
    venv = runner.temp / "finops-policy"
    assert log.read_text("utf-8").splitlines() == [
        f"{runner.bin}/python -m venv {venv}",
        f"{venv}/bin/python -m pip install --quiet --disable-pip-version-check /action",
    ]


def test_lint_annotates_and_fails(runner: Runner) -> None:
    (runner.checkout / "bad file.yml").write_text(BAD, "utf-8")
    done = runner.run("Lint")
    assert done.returncode == 3, done.stderr
    assert re.search(r"^::error file=bad file\.yml,line=2,col=\d+,title=unknown-filter::", done.stdout, re.MULTILINE)
    assert runner.output.read_text("utf-8") == ""


def test_lint_of_clean_files_passes(runner: Runner) -> None:
    (runner.checkout / "good.yml").write_text(GOOD, "utf-8")
    done = runner.run("Lint")
    assert done.returncode == 0, done.stderr
    assert "::error" not in done.stdout


def test_lint_takes_each_line_for_a_path_and_hands_options_on(runner: Runner) -> None:
    for folder in ("one two", "three"):
        (runner.checkout / folder).mkdir()
        (runner.checkout / folder / "bad.yml").write_text(BAD.replace("all", folder.replace(" ", "-")), "utf-8")
    (runner.checkout / "left-out.yml").write_text(BAD, "utf-8")
    (runner.checkout / "settings.toml").write_text('[lint.rules]\nunknown-filter = "note"\n', "utf-8")
    runner.context |= {"inputs.paths": "one two\n\nthree\n", "inputs.config": "settings.toml"}
    done = runner.run("Lint")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^::notice file=([^,]+),.*=unknown-filter:", done.stdout, re.MULTILINE) == [
        "one two/bad.yml",
        "three/bad.yml",
    ]
    runner.context["inputs.fail-on"] = "note"
    assert runner.run("Lint").returncode == 3
    runner.context["inputs.fail-on"] = "$(touch hacked)"
    assert runner.run("Lint").returncode == 2
    assert not (runner.checkout / "hacked").exists()


def test_lint_writes_sarif_without_what_is_suppressed(runner: Runner) -> None:
    suppressed = BAD.replace(
        "\n  - {name: all", "\n  # finops-policy: ignore[unknown-filter] of a plugin\n  - {name: one"
    )
    (runner.checkout / "bad.yml").write_text(BAD, "utf-8")
    (runner.checkout / "suppressed.yml").write_text(suppressed, "utf-8")
    runner.context["inputs.sarif"] = "true"
    assert runner.run("Lint").returncode == 3
    [name, path] = runner.output.read_text("utf-8").strip().split("=")
    assert name == "sarif"
    [run] = json.loads(Path(path).read_text("utf-8"))["runs"]
    found = [each for each in run["results"] if each["ruleId"] == "unknown-filter"]
    places = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in found]
    assert places == ["bad.yml"]


def test_a_usage_error_stops_the_lint(runner: Runner) -> None:
    runner.context |= {"inputs.paths": "gone", "inputs.sarif": "true"}
    done = runner.run("Lint")
    assert done.returncode == 2
    assert "gone" in done.stderr
    assert runner.output.read_text("utf-8") == ""


def test_the_base_of_a_pull_request_is_fetched_into_a_shallow_checkout(runner: Runner, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q", "-b", "main")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    for number in range(3):
        (origin / "a.yml").write_text(f"policies: [] # {number}\n", "utf-8")
        git(origin, "add", ".")
        git(origin, "commit", "-q", "-m", "x")
    base = git(origin, "rev-parse", "HEAD~2")
    git(tmp_path, "clone", "-q", "--depth=1", origin.as_uri(), str(runner.checkout))
    runner.context["github.event.pull_request.base.sha"] = base
    done = runner.run("Find the base")
    assert done.returncode == 0, done.stderr
    assert runner.output.read_text("utf-8") == f"ref={base}\n"
    assert git(runner.checkout, "show", f"{base}:a.yml") == "policies: [] # 0"


def test_a_base_of_ones_own_is_taken_as_it_is(runner: Runner) -> None:
    runner.context |= {"inputs.base": "v1", "github.event.pull_request.base.sha": "0" * 40}
    assert runner.run("Find the base").returncode == 0
    assert runner.output.read_text("utf-8") == "ref=v1\n"


def test_there_is_no_base_without_a_pull_request(runner: Runner) -> None:
    assert runner.run("Find the base").returncode == 0
    assert runner.output.read_text("utf-8") == "ref=\n"


GH = """\
#!{python}
# Comments of one pull request, as `gh api` lists, adds and changes them; kept in a file.
import json, os, pathlib, subprocess, sys
assert os.environ["GH_HOST"] == "github.example.com"
store = pathlib.Path({store!r})
comments = json.loads(store.read_text())
arguments = sys.argv[1:]
fields = [each for each in arguments if each.startswith("body=@")]
body = pathlib.Path(fields[0].removeprefix("body=@")).read_text() if fields else None
if "--jq" in arguments:
    query = arguments[arguments.index("--jq") + 1]
    assert "repos/acme/policies/issues/7/comments" in arguments
    sys.exit(subprocess.run(["jq", "--raw-output", query], input=json.dumps(comments), text=True).returncode)
elif "PATCH" in arguments:
    [path] = [each for each in arguments if each.startswith("repos/acme/policies/issues/comments/")]
    [comment] = [each for each in comments if each["id"] == int(path.rpartition("/")[2])]
    comment["body"] = body
else:
    assert "repos/acme/policies/issues/7/comments" in arguments
    comments.append({{"id": len(comments) + 1, "user": {{"type": "Bot"}}, "body": body}})
store.write_text(json.dumps(comments))
"""


@pytest.fixture
def comments(runner: Runner, tmp_path: Path) -> Path:
    """The pull request's comments: one of a person who quotes ours, one of another program."""
    if not shutil.which("jq"):
        pytest.skip("no jq on this machine, which stands in for the one inside of gh")
    store = tmp_path / "comments.json"
    quoted = {"id": 1, "user": {"type": "User"}, "body": "<!-- finops-policy diff -->\nquoted"}
    store.write_text(json.dumps([quoted, {"id": 2, "user": {"type": "Bot"}, "body": "coverage"}]), "utf-8")
    program(runner.bin / "gh", GH.format(python=sys.executable, store=str(store)))
    diff = '#!/bin/sh\n[ "$1 $2" = "diff abc" ] && echo "## One change" && cat "$RUNNER_TEMP/changes"\n'
    program(runner.temp / "finops-policy" / "bin" / "finops-policy", diff)
    runner.context |= {"steps.base.outputs.ref": "abc", "github.event.pull_request.number": "7"}
    return store


def bodies(store: Path) -> list[str]:
    return [each["body"] for each in json.loads(store.read_text("utf-8"))]


def test_one_comment_is_written_and_kept_current(runner: Runner, comments: Path) -> None:
    others = bodies(comments)
    for changes in ("first\n", "second\n", "third\n"):
        (runner.temp / "changes").write_text(changes, "utf-8")
        done = runner.run("Comment on the pull request")
        assert done.returncode == 0, done.stderr
        assert bodies(comments) == [*others, f"<!-- finops-policy diff -->\n## One change\n{changes}"]
    assert runner.summary.read_text("utf-8").count("## One change") == 3


def test_of_several_comments_the_first_is_kept_current(runner: Runner, comments: Path) -> None:
    ours = {"user": {"type": "Bot"}, "body": "<!-- finops-policy diff -->\nold"}
    store = json.loads(comments.read_text("utf-8"))
    comments.write_text(json.dumps([*store, {"id": 3, **ours}, {"id": 4, **ours}]), "utf-8")
    (runner.temp / "changes").write_text("new\n", "utf-8")
    assert runner.run("Comment on the pull request").returncode == 0
    assert [body.split("\n")[-2:] for body in bodies(comments)[2:]] == [["new", ""], [ours["body"][:27], "old"]]


def test_nothing_is_commented_where_the_diff_fails(runner: Runner, comments: Path) -> None:
    others = bodies(comments)
    runner.context["steps.base.outputs.ref"] = "unknown"
    assert runner.run("Comment on the pull request").returncode != 0
    assert bodies(comments) == others


# --- pre-commit -------------------------------------------------------------------------------------------------------


def test_the_hook_is_valid() -> None:
    [hook] = load_manifest(ROOT / ".pre-commit-hooks.yaml")
    assert (hook["id"], hook["entry"]) == ("finops-policy-lint", "finops-policy lint")
    assert hook["pass_filenames"] is False, "named files are taken for policies, and others of the repository matter"


# --- GitLab -----------------------------------------------------------------------------------------------------------


def gitlab(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The job's script in a checkout, as GitLab's runner gives it to a shell."""
    bin_ = folder.parent / "bin"
    program(bin_ / "pip", f'#!/bin/sh\necho "$*" >> {folder.parent}/pip.log\n')
    program(bin_ / "finops-policy", f'#!/bin/sh\nexec {sys.executable} -m finops_policy "$@"\n')
    return subprocess.run(
        ["sh", "-e", "-c", "\n".join(GITLAB["script"])],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            **GITLAB["variables"],
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


def test_the_gitlab_job_is_valid() -> None:
    valid(ROOT / "ci" / "finops-policy.gitlab-ci.yml", "gitlab-ci")


def test_the_gitlab_job_writes_its_reports_and_fails(checkout: Path) -> None:
    (checkout / "bad.yml").write_text(BAD, "utf-8")
    (checkout / "sub").mkdir()
    (checkout / "sub" / "bad.yml").write_text(BAD, "utf-8")
    done = gitlab(checkout, FINOPS_POLICY_PATHS="sub")
    assert done.returncode == 3, done.stderr
    assert "sub/bad.yml:2:" in done.stdout
    reports = GITLAB["artifacts"]["reports"]
    issues = json.loads((checkout / reports["codequality"]).read_text("utf-8"))
    assert {each["location"]["path"] for each in issues} == {"sub/bad.yml"}
    assert '<testcase name="sub/bad.yml"' in (checkout / reports["junit"]).read_text("utf-8")
    pip = (checkout.parent / "pip.log").read_text("utf-8")
    assert pip == "install --quiet --disable-pip-version-check finops-policy\n"


def test_the_gitlab_job_passes_where_all_is_well(checkout: Path) -> None:
    (checkout / "good.yml").write_text(GOOD, "utf-8")
    done = gitlab(checkout)
    assert done.returncode == 0, done.stderr
    assert gitlab(checkout, FINOPS_POLICY_PATHS="gone").returncode == 2


def test_the_page_describes_every_variable() -> None:
    section = PAGE[PAGE.index("## GitLab CI") :]
    described = set(re.findall(r"^\| `(FINOPS_POLICY_\w+)` \|", section, re.MULTILINE))
    assert described == {name for name in GITLAB["variables"] if name.startswith("FINOPS_POLICY_")}


# --- the page ---------------------------------------------------------------------------------------------------------


def example(name: str, tmp_path: Path) -> Path:
    """The page's example of a file."""
    [text] = re.findall(rf"```yaml\n# \S*{re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_the_example_of_a_workflow_is_valid(tmp_path: Path) -> None:
    path = example("policies.yml", tmp_path)
    valid(path, "github-workflows")
    step: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["jobs"]["lint"]["steps"][-1]
    assert set(step["with"]) <= set(ACTION["inputs"])


def test_the_example_of_a_pre_commit_configuration_is_valid(tmp_path: Path) -> None:
    [repo] = load_config(example(".pre-commit-config.yaml", tmp_path))["repos"]
    assert [hook["id"] for hook in repo["hooks"]] == ["finops-policy-lint"]


def test_the_example_of_a_gitlab_pipeline_is_valid(tmp_path: Path) -> None:
    path = example(".gitlab-ci.yml", tmp_path)
    valid(path, "gitlab-ci")
    pipeline = yaml.safe_load(path.read_text("utf-8"))
    assert (ROOT / pipeline["include"][0]["file"]).is_file()
    assert set(pipeline["finops-policy-lint"]["variables"]) <= set(GITLAB["variables"])
