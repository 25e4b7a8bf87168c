"""Whatever the files hold, linting ends soon and answers with diagnostics that lie within them; nothing is raised.

Random bytes, real files with bytes changed, policies with odd values, YAML that nobody would write: as plain files and
as ours. Short by default; ``FINOPS_POLICY_LONG=1 pytest tests/lint/test_fuzz.py`` digs deeper.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from finops_policy.lint import fixing
from finops_policy.lint.formats import FORMATS
from finops_policy.lint.linter import lint
from finops_policy.lint.report import Report
from finops_policy.lint.rules import RULES
from finops_policy.lint.settings import Settings
from finops_policy.marks import Mark
from finops_policy.sources import parse
from tests.lint.corpus import examples
from tests.lint.kit import TODAY
from tests.lint.mutants import spoiled

LONG = bool(os.environ.get("FINOPS_POLICY_LONG"))
CASES = 10_000 if LONG else 300
SEED = int(os.environ.get("FINOPS_POLICY_SEED", "1"))
SECONDS = 2
BATCH = 10
PASSES = 5
"""How often the command line lints again after corrections."""
ROOT = Path(__file__).parents[2]
FILES = {
    "packs/one/pack.yaml": "policies/packs/idle-resources/pack.yaml",
    "packs/one/ec2-idle.yaml": "policies/packs/idle-resources/ec2-idle.yaml",
    "packs/one/ebs-unattached.yaml": "policies/packs/idle-resources/ebs-unattached.yaml",
    "profiles/hipaa.yaml": "policies/profiles/hipaa.yaml",
    "frameworks/sox-itgc.yaml": "policies/frameworks/sox-itgc.yaml",
    "customers/acme/customer.yaml": "customers/acme/customer.yaml",
    "customers/acme/waivers.yaml": "customers/acme/waivers.yaml",
    "pricebook.yaml": "policies/pricebook.yaml",
}
"""A workspace, and the built-in files that it is made of."""
ACCOUNTS = "accounts:\n- {account_id: '123456789012', name: a, role: r, regions: [us-east-1], vars: {x: 1}, tags: [a]}"


# --- what must hold ---------------------------------------------------------------------------------------------------


def judge(folder: Path, contents: Mapping[str, bytes]) -> Report:
    """Lints the files together; should that take long, each alone."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    report, seconds = _timed([folder / name for name in contents], folder)
    if seconds > SECONDS:
        for name, content in contents.items():
            _, alone = _timed([folder / name], folder)
            assert alone < SECONDS, f"{alone:.1f} s for {content!r}"
    _check(report)
    return report


def _timed(paths: list[Path], workspace: Path) -> tuple[Report, float]:
    """Time of this process alone: the machine may be busy."""
    start = time.process_time()
    return lint(paths, workspace, Settings(), today=TODAY), time.process_time() - start


def _check(report: Report) -> None:
    for told in report.told:
        diagnostic = told.diagnostic
        assert diagnostic.rule in RULES
        assert diagnostic.message
        for mark in (diagnostic.mark, *diagnostic.related):
            _check_mark(mark, report)
    for module in FORMATS.values():
        text = import_module(module).render(report)
        assert not text or text.endswith("\n")


def _check_mark(mark: Mark, report: Report) -> None:
    if mark.path in report.sources and mark.line:
        lines = report.sources[mark.path].lines
        assert mark.line <= len(lines)
        assert 1 <= mark.column <= len(lines[mark.line - 1]) + 1


def mend(folder: Path, report: Report) -> int:
    """Corrects until nothing changes; answers how many corrections were made."""
    done = 0
    for _ in range(PASSES):
        if not fixing.fixable(report):
            return done
        for label, count in fixing.apply(report).items():
            assert isinstance(count, int), f"{label}: {count}"
            parse(report.sources[label].path.read_bytes(), label, lenient=True)
            done += count
        report, _ = _timed([source.path for source in report.sources.values()], folder)
    assert not fixing.fixable(report)
    return done


def holds(folder: Path, contents: Mapping[str, bytes]) -> int:
    """All that must hold; of a batch that fails, the first file that fails alone is told."""
    try:
        return mend(folder, judge(folder, contents))
    except Exception:
        for name, content in contents.items():
            shutil.rmtree(folder)
            folder.mkdir()
            try:
                mend(folder, judge(folder, {name: content}))
            except Exception as error:
                error.add_note(f"{name}: {content!r}")
                raise
        raise


# --- contents ---------------------------------------------------------------------------------------------------------


@cache
def _real() -> tuple[bytes, ...]:
    ours = [ROOT.joinpath(path).read_bytes() for path in FILES.values()]
    return (*ours, *(example.text.encode() for example in examples()), ACCOUNTS.encode())


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 5, 50, 500)))


def _changed(chance: random.Random) -> bytes:
    return _with_bytes(chance, chance.choice(_real()))


def _with_bytes(chance: random.Random, content: bytes) -> bytes:
    raw = bytearray(content)
    for _ in range(chance.choice((1, 2, 5, 20))):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(4):
            case 0:
                raw[at:at] = chance.randbytes(chance.randrange(1, 4))
            case 1:
                del raw[at : at + chance.randrange(1, 30)]
            case 2:
                raw[at:at] = raw[at : at + chance.randrange(1, 60)]
            case _:
                raw[at : at + 1] = bytes([chance.choice(b"\n\r\t \0-:#'\"{}[]&*!|>%@`,?0\xff\xc3\xef\xed")])
    return bytes(raw)


def _edited(chance: random.Random) -> bytes:
    return spoiled(chance, chance.choice(_real()).decode()).encode()


_ODD: tuple[Any, ...] = (
    None, True, 0, -1, 3.5, 10**25, 1e300, "", "text", "{x}", "${x}", "{", "}}", "tag:", "tag:x", "absent", "=cmd()",
    "a" * 300, "\u202eabc", "\x1b[31m", "<script>", "💥", "@here", "%0A::error::x", "\ud800", "a\nb", "2026-12-31", "*",
    "x: y", "- x", [], {}, [[]], [None], {"": ""}, {"type": None}, {"or": 5}, {"not": {"not": []}},
    {"type": "value", "key": [], "value": {}},
    {"type": "metrics", "days": "x", "period": [], "name": 5}, {"type": "mark-for-op", "op": [], "days": -1, "tag": {}},
    {"type": "marked-for-op", "op": None, "tag": 5}, {"type": ["x"]}, "mark-for-op", "marked-for-op", "metrics", "stop",
)  # fmt: skip
_WORDS = ("policies", "name", "resource", "filters", "actions", "mode", "type", "or", "not", "and", "key", "value",
          "op", "tag", "days", "conditions", "vars", "metadata", "kind", "apiVersion", "accounts", "account_id",
          "parameters", "scope", "violation", "remediation", "waivers", "controls", "packs", "mappings", "", "é",
          "x y")  # fmt: skip


def _tree(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth > 6 or kind < 0.35:
        return chance.choice(_ODD)
    if kind < 0.65:
        return [_tree(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(_WORDS): _tree(chance, depth + 1) for _ in range(chance.randrange(5))}


def _dumped(chance: random.Random, data: Any) -> bytes:
    flow = chance.choice((True, False, None))
    return yaml.dump(data, default_flow_style=flow, sort_keys=False).encode(errors="surrogatepass")


def _odd_policies(chance: random.Random) -> bytes:
    """A file of policies in form, with anything as filters and actions."""
    policies = [
        {
            "name": chance.choice(("a", "b", "a-b", "", 5)),
            "resource": chance.choice(("ec2", "aws.ebs", "s3", "aws.rds", "nothing", "gcp.x", None)),
            chance.choice(_WORDS): _tree(chance),
            "filters": [_tree(chance, 3) for _ in range(chance.randrange(4))],
            "actions": [_tree(chance, 3) for _ in range(chance.randrange(4))],
            "mode": chance.choice(({"type": "pull"}, _tree(chance, 4))),
        }
        for _ in range(chance.randrange(1, 4))
    ]
    return _dumped(chance, {"policies": policies})


def _odd_tree(chance: random.Random) -> bytes:
    return _dumped(chance, {"policies": _tree(chance)} if chance.random() < 0.5 else _tree(chance))


def _hostile(chance: random.Random) -> bytes:
    """Files that want too much."""
    size = chance.choice((10, 99, 101, 1000, 8000))
    head = b"policies:\n- name: a\n  resource: ec2\n  filters:\n"
    return chance.choice((
        head + b"  - " + b"{not: [" * size + b"]}" * size,
        head + b"  - {tag:x: absent}\n" * size,
        head + b"  - or:\n" + b"    - {tag:x: absent, tag:x: absent}\n" * size,
        b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 97 + size % 24)),
        b"policies:\n" + b"- {name: a, resource: ec2, filters: [{type: metrics, days: '5'}]}\n" * min(size, 1000),
        b"policies: [" * size,
        b"policies:\r\n- name: a\r\n  resource: ec2\r\n" * 2 + b"\r" * size,
        b"\xef\xbb\xbfpolicies:\n- name: a\n  resource: ec2\n  filters: [{type: metrics, name: " + b"9" * size + b"}]",
        b"policies:\n- {name: " + b"a" * size + b", resource: " + b"b" * size + b"}\n",
        b"policies:\n- name: a\n  resource: ec2\n# finops-policy: ignore[" + b"schema," * size + b"] x\n",
        b"%YAML 1.1\n---\npolicies:\n- &a {name: a, resource: ec2, filters: [*a]}\n",
        head + b"  - {type: value, key: x, op: regex, value: '" + b"(" * size + b"'}\n",
    ))  # fmt: skip


PLAIN: tuple[Callable[[random.Random], bytes], ...] = (
    _noise, *[_changed, _edited, _odd_policies] * 4, _odd_tree, _odd_tree, _hostile,
)  # fmt: skip


def _ours(chance: random.Random) -> dict[str, bytes]:
    """A workspace, some files of which are spoiled."""
    contents = {name: ROOT.joinpath(path).read_bytes() for name, path in FILES.items()} | {"c.yml": ACCOUNTS.encode()}
    for name in chance.sample(sorted(contents), 4):
        content = contents[name]
        match chance.randrange(4):
            case 0:
                contents[name] = _with_bytes(chance, content)
            case 1:
                contents[name] = spoiled(chance, content.decode()).encode()
            case _:
                data = yaml.safe_load(content)
                for _ in range(chance.randrange(1, 4)):
                    _put_odd(chance, data)
                contents[name] = _dumped(chance, data)
    return contents


def _put_odd(chance: random.Random, data: Any) -> None:
    """Something odd in the place of one value, anywhere."""
    while isinstance(data, dict | list) and data:
        key = chance.choice(list(data) if isinstance(data, dict) else range(len(data)))
        if chance.random() < 0.3 or not isinstance(data[key], dict | list) or not data[key]:
            data[key] = chance.choice((*_ODD, _tree(chance, 4)))
            return
        data = data[key]


# --- tests ------------------------------------------------------------------------------------------------------------


def _batches(count: int) -> Iterator[dict[str, bytes]]:
    chance = random.Random(SEED)
    for _ in range(count // BATCH):
        names = [f"{index}{chance.choice(('.yaml', '.yml', '.json'))}" for index in range(BATCH)]
        yield {name: chance.choice(PLAIN)(chance) for name in names}


def test_plain_files(tmp_path: Path) -> None:
    done = sum(holds(tmp_path, contents) for contents in _batches(CASES * 6 // 10))
    assert done > 5, "the corrections are tested too"


_HEAD = b"policies:\n- name: a\n  resource: ec2\n  filters:\n"


@pytest.mark.parametrize(
    "content",
    [
        _HEAD + b"  - {tag:x: 2026-12-31}\n" * 150,
        _HEAD + b"  - {type: value, key: x, value_regex: x, value: 1}\n" * 200,
        _HEAD + b"  - {type: nothing}\n" * 300,
        _HEAD + b"  - {type: value, key: x, op: in, value: [" + b"x, " * 5000 + b"x]}\n",
        b"policies:\n" + b"".join(b"- {name: a%d, resource: ec2, start: never}\n" % i for i in range(200)),
        b"policies:\n" + b"".join(b"- {name: a%d, resource: ec2, mode: {type: cloudtrail}}\n" % i for i in range(500)),
        b"policies:\n" + b"".join(b"- {name: a%d, resource: ec2, tags: [%d]}\n" % (i, i) for i in range(2000)),
        b"policies:\n" + b"".join(b"- {name: a%d, resource: ec2}\n" % i for i in range(20_000)),
    ],
    ids=["dates", "refused filters", "unknown filters", "one long list", "times", "modes", "mistakes", "policies"],
)
def test_files_that_ask_much_end_soon(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    _timed([tmp_path / "a.yaml"], tmp_path)  # loads c7n
    _, seconds = _timed([tmp_path / "a.yaml"], tmp_path)
    assert seconds < SECONDS


def test_files_of_ours(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for _ in range(CASES // 25):  # ten files each
        holds(tmp_path, _ours(chance))


def test_the_workspace_is_sound_before_it_is_spoiled(tmp_path: Path) -> None:
    contents = {name: ROOT.joinpath(path).read_bytes() for name, path in FILES.items()}
    report = judge(tmp_path, contents)
    assert {source.kind for source in report.sources.values()} >= {"pack", "policy", "profile", "framework", "customer"}
    assert len(report.sources) == len(contents)


def test_the_checks_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark outside of its file is found."""
    report = judge(tmp_path, {"a.yaml": b"policies: 5\n"})
    source = next(iter(report.sources.values()))
    with pytest.raises(AssertionError):
        _check_mark(Mark(source.label, 99, 1), report)
    with pytest.raises(AssertionError):
        _check_mark(Mark(source.label, 1, 99), report)
