"""A workspace at a Git revision: what is laid out, what never is, and what the user is told."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from finops_policy import revisions
from finops_policy.errors import FinopsPolicyError, UsageError
from finops_policy.revisions import RevisionError, at, working_tree

KEPT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def git(folder: Path, *arguments: str, stdin: str = "") -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env={**os.environ, **KEPT},
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(folder: Path, files: dict[str, str], message: str = "change") -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return folder


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEPT.items():
        monkeypatch.setenv(name, value)


def laid_out(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


# --- what is laid out -------------------------------------------------------------------------------------------------


def test_the_workspace_is_as_the_commit_has_it(repository: Path) -> None:
    first = commit(repository, {"packs/a/pack.yaml": "old\n", "policies.json": "{}", "notes.md": "n", "code.py": "x"})
    commit(repository, {"packs/a/pack.yaml": "new\n"})
    (repository / "packs/a/pack.yaml").write_text("uncommitted\n")
    with at("HEAD~1", repository) as revision:
        assert (revision.ref, revision.commit, revision.exists, revision.left_out) == ("HEAD~1", first, True, ())
        assert laid_out(revision.workspace) == {"packs/a/pack.yaml": "old\n", "policies.json": "{}", "notes.md": "n"}
        kept = revision.workspace
    assert not kept.exists()
    assert (repository / "packs/a/pack.yaml").read_text() == "uncommitted\n"


def test_a_workspace_in_a_folder_of_the_repository_with_an_odd_name(repository: Path) -> None:
    name = "sub dir/é:*[x]"
    commit(repository, {f"{name}/packs/a b.yaml": "in", "packs/a.yaml": "out"})
    with at("HEAD", repository / name) as revision:
        assert laid_out(revision.workspace) == {"packs/a b.yaml": "in"}


def test_a_workspace_that_the_commit_lacks_is_empty_and_says_so(repository: Path) -> None:
    commit(repository, {"other.yaml": "x"})
    (repository / "new").mkdir()
    with at("HEAD", repository / "new") as revision:
        assert not revision.exists
        assert laid_out(revision.workspace) == {}


def test_the_checkout_and_the_index_are_not_touched(repository: Path) -> None:
    commit(repository, {"a.yaml": "1"})
    (repository / "a.yaml").write_text("2")
    (repository / "b.yaml").write_text("staged")
    git(repository, "add", "b.yaml")
    index = (repository / ".git/index").read_bytes()
    before = sorted(path for path in repository.rglob("*"))
    with at("main", repository):
        pass
    assert (repository / ".git/index").read_bytes() == index
    assert sorted(path for path in repository.rglob("*")) == before


def test_attributes_and_filters_have_no_say(repository: Path) -> None:
    """``git archive`` would leave out what is export-ignore, and run the filter."""
    ran = repository.parent / "ran"
    git(repository, "config", "filter.evil.smudge", f"touch {ran}; cat")
    attributes = "*.yaml export-ignore filter=evil export-subst\n"
    commit(repository, {".gitattributes": attributes, "a.yaml": "$Format:%H$"})
    with at("HEAD", repository) as revision:
        assert laid_out(revision.workspace) == {"a.yaml": "$Format:%H$"}
    assert not ran.exists()


def test_a_hooks_environment_does_not_lead_elsewhere(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = repository.parent / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    commit(repository, {"a.yaml": "here"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    with at("HEAD", repository) as revision:
        assert laid_out(revision.workspace) == {"a.yaml": "here"}


def test_the_working_tree_is_the_workspace_itself(tmp_path: Path) -> None:
    revision = working_tree(tmp_path)
    assert (revision.ref, revision.commit, revision.workspace) == ("", "", tmp_path)


# --- shallow and partial clones ---------------------------------------------------------------------------------------


def test_a_shallow_clone_serves_what_it_has_and_says_what_it_lacks(repository: Path, tmp_path: Path) -> None:
    first = commit(repository, {"a.yaml": "1"})
    commit(repository, {"a.yaml": "2"})
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", str(clone))
    with at("HEAD", clone) as revision:
        assert laid_out(revision.workspace) == {"a.yaml": "2"}
    with pytest.raises(UsageError) as caught, at(first, clone):
        pass
    assert "shallow" in caught.value.hint
    assert "fetch-depth: 0" in caught.value.hint


def test_nothing_is_fetched_into_a_partial_clone(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"a.yaml": "1"})
    commit(repository, {"a.yaml": "2"})
    git(repository, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{repository}", str(clone))
    with pytest.raises(RevisionError, match="has no content of") as caught, at("HEAD", clone):
        pass
    assert "--filter" in caught.value.hint


# --- hostile repositories ---------------------------------------------------------------------------------------------


def test_links_stay_within_the_workspace(repository: Path) -> None:
    secret = repository.parent / "secret.yaml"
    secret.write_text("secret")
    (repository / "packs").mkdir()
    links = {
        "absolute.yaml": str(secret),
        "above.yaml": "../secret.yaml",
        "folder": "..",
        "chain.yaml": "folder/secret.yaml",
        "packs/inside.yaml": "../real.yaml",
        "alias": "packs",
        "loop.yaml": "loop.yaml",
        "nowhere.yaml": "missing.yaml",
    }
    for name, target in links.items():
        (repository / name).symlink_to(target)
    commit(repository, {"real.yaml": "real", "packs/b.yaml": "b"})
    with at("HEAD", repository) as revision:
        found = laid_out(revision.workspace)
        assert found == {"real.yaml": "real", "packs/b.yaml": "b", "packs/inside.yaml": "real"}
        assert (revision.workspace / "alias" / "b.yaml").read_text() == "b"
        assert set(revision.left_out) >= {"absolute.yaml", "above.yaml", "folder"}
        assert not {"alias", "packs/inside.yaml", "nowhere.yaml"} & set(revision.left_out)


def _tree(repository: Path, entries: list[tuple[str, str, str]]) -> str:
    """A tree of (mode, object, name) with any names: Git's own commands refuse some, so it is written as an object."""
    raw = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(identity) for mode, identity, name in entries)
    done = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        cwd=repository,
        env={**os.environ, **KEPT},
        input=raw,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def _blob(repository: Path, content: str) -> str:
    return git(repository, "hash-object", "-w", "--stdin", stdin=content)


def _commit_tree(repository: Path, tree: str) -> str:
    return git(repository, "commit-tree", tree, "-m", "hostile")


def test_names_in_a_tree_cannot_leave_it(repository: Path) -> None:
    blob = _blob(repository, "evil")
    inner = _tree(repository, [("100644", blob, "evil.yaml")])
    entries = [("40000", inner, ".."), ("40000", inner, ".GIT"), ("100644", blob, "good.yaml")]
    made = _commit_tree(repository, _tree(repository, entries))
    with at(made, repository) as revision:
        assert set(laid_out(revision.workspace)) == {"good.yaml"}
        assert set(revision.left_out) == {"../evil.yaml", ".GIT/evil.yaml"}
        assert not (revision.workspace.parent / "evil.yaml").exists()


def test_nothing_is_written_through_a_link(repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    blob, link = _blob(repository, "evil"), _blob(repository, str(target))
    inner = _tree(repository, [("100644", blob, "evil.yaml")])
    made = _commit_tree(repository, _tree(repository, [("120000", link, "trap"), ("40000", inner, "trap")]))
    with pytest.raises(RevisionError, match="cannot be laid out"), at(made, repository):
        pass
    assert not list(target.iterdir())


def test_a_submodule_is_left_out_and_listed(repository: Path) -> None:
    head = commit(repository, {"a.yaml": "a"})
    tree = _tree(repository, [("100644", _blob(repository, "a"), "a.yaml"), ("160000", head, "packs")])
    with at(_commit_tree(repository, tree), repository) as revision:
        assert set(laid_out(revision.workspace)) == {"a.yaml"}
        assert revision.left_out == ("packs",)


# --- hostile and mistyped refs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ref",
    ["", "-x", "--upload-pack=touch pwned", "--help", "^main", "main..HEAD", "main...HEAD", "a\nb", "a\0b", "\x1b[2J"],
)
def test_a_ref_is_never_an_option_or_a_range(ref: str, repository: Path) -> None:
    commit(repository, {"a.yaml": "a"})
    with pytest.raises(UsageError, match="is not the name of a revision"), at(ref, repository):
        pass
    assert not (repository / "pwned").exists()


def test_an_unknown_ref_names_the_nearest(repository: Path) -> None:
    commit(repository, {"a.yaml": "a"})
    git(repository, "branch", "release-1.2")
    with pytest.raises(UsageError, match=r"no revision 'relaese-1\.2'") as caught, at("relaese-1.2", repository):
        pass
    assert caught.value.hint == "Did you mean release-1.2?"


@pytest.mark.parametrize("ref", ["HEAD:a.yaml", "HEAD^{tree}", "0" * 40])
def test_only_a_commit_will_do(ref: str, repository: Path) -> None:
    commit(repository, {"a.yaml": "a"})
    with pytest.raises(UsageError, match="There is no revision"), at(ref, repository):
        pass


def test_tags_and_spans_of_time_are_revisions(repository: Path) -> None:
    made = commit(repository, {"a.yaml": "a"})
    git(repository, "tag", "--annotate", "v1", "--message", "one")
    for ref in ("v1", "HEAD@{5 seconds ago}", made[:9], "@"):
        with at(ref, repository) as revision:
            assert revision.commit == made


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    folder = tmp_path / "plain"
    folder.mkdir()
    with pytest.raises(UsageError, match="is not in a Git repository") as caught, at("HEAD", folder):
        pass
    assert "--workspace" in caught.value.hint


# --- Git itself -------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder / "git"


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_git_is_missing(fake_git: Path, tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="not installed") as caught, at("HEAD", tmp_path):
        pass
    assert caught.value.hint


def test_git_hangs(fake_git: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _script(fake_git, f"exec {shutil.which('sleep', path='/bin:/usr/bin')} 30")
    monkeypatch.setattr(revisions, "SECONDS", 0.2)
    with pytest.raises(RevisionError, match=r"did not answer within 0\.2 seconds"), at("HEAD", tmp_path):
        pass


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("fatal: detected dubious ownership in repository at '/x'", "does not trust"),
        ("fatal: unable to read tree", "Git cannot find the repository: fatal: unable to read tree"),
        ("", "it says nothing"),
    ],
)
def test_git_refuses(said: str, expected: str, fake_git: Path, tmp_path: Path) -> None:
    _script(fake_git, f'echo "{said}" >&2; exit 128')
    with pytest.raises(FinopsPolicyError, match=expected) as caught, at("HEAD", tmp_path):
        pass
    assert caught.value.hint
