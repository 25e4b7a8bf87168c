"""Comments that keep a rule silent: where they reach, what they need, and what is told of them.

``unknown-filter`` stands for any rule, and ``schema`` for one that finds nothing in these files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_policy.lint.report import Report
from finops_policy.lint.rule import Level
from finops_policy.lint.rules import RULES
from finops_policy.lint.suppressions import NO_REASON, UNKNOWN, UNUSED
from tests.lint.kit import lines, linted, rules

RULE = "unknown-filter"
IGNORE = f"# finops-policy: ignore[{RULE}]"
WHY = f"{IGNORE} it comes with the next c7n"


def suppressed(report: Report) -> list[int]:
    """Lines of what was kept silent."""
    return [each.diagnostic.mark.line for each in report.told if each.suppressed]


def told(report: Report, rule: str) -> list[str]:
    return [each.diagnostic.message for each in report.active if each.diagnostic.rule == rule]


# --- Where a comment reaches ------------------------------------------------------------------------------------------

TWO = """\
policies:
  # Something else.
  - name: a
    resource: aws.ec2
    # Another.
    filters:
      - type: nothing-1
        key: x
      - {type: nothing-2}
  - name: b
    resource: aws.ec2
    filters:
      - nothing-3
"""


@pytest.mark.parametrize(
    ("line", "reached"),
    [
        (1, [7, 9, 13]),
        (2, [7, 9]),
        (3, [7, 9]),
        (4, []),
        (5, [7, 9]),
        (6, [7, 9]),
        (7, [7]),
        (8, []),
        (9, [9]),
        (13, [13]),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_comment_reaches_its_line_and_what_is_indented_below(
    line: int, reached: list[int], end: str, tmp_path: Path
) -> None:
    text = TWO.splitlines()
    before = text[line - 1].partition("#")[0]
    text[line - 1] = f"{before} {WHY}" if before.strip() else before + WHY
    report = linted(tmp_path, end.join([*text, ""]))
    assert suppressed(report) == reached
    assert lines(report, RULE) == [each for each in (7, 9, 13) if each not in reached]
    assert lines(report, UNUSED) == ([] if reached else [line])


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        # A list without indentation belongs to its key.
        (f"policies:\n- name: a\n  resource: aws.ec2\n  {WHY}\n  filters:\n  - nothing\n  - type: nothing\n", [6, 7]),
        (f"policies:\n- name: a\n  resource: aws.ec2\n  filters: {WHY}\n  -\n    type: nothing\n", [6]),
        (f"policies:\n- name: a\n  resource: aws.ec2\n  filters:\n  {WHY}\n  - nothing\n  - nothing\n", [6]),
        (f"{WHY}\npolicies:\n- name: a\n  resource: aws.ec2\n  filters:\n  - nothing\n", [6]),
        # The next line that says something may be further down.
        (f"policies:\n- name: a\n  resource: aws.ec2\n  filters:\n  {WHY}\n  # more\n\n   \n  - nothing\n", [9]),
        # Comments and empty lines in between do not end it.
        (f"policies:\n{WHY}\n- name: a\n\n# far left\n  resource: aws.ec2\n  filters:\n  - nothing\n", [8]),
        # The next policy ends it.
        (
            f"policies:\n{WHY}\n- name: a\n  resource: aws.s3\n- name: b\n  resource: aws.ec2\n  filters: [nothing]\n",
            [],
        ),
        # Flow style: a line is a line.
        (f"policies: [{{name: a, resource: aws.ec2, filters: [nothing]}}] {WHY}\n", [1]),
        (f"policies: [\n  {{name: a,\n   resource: aws.ec2, {WHY}\n   filters: [nothing]}}]\n", []),
        (f"policies: [\n  {WHY}\n  {{name: a,\n   resource: aws.ec2,\n   filters: [nothing]}}]\n", [5]),
        # Behind everything there is nothing.
        (f"policies:\n- name: a\n  resource: aws.ec2\n  filters: [nothing]\n{WHY}", []),
    ],
)
def test_reach(text: str, reached: list[int], tmp_path: Path) -> None:
    report = linted(tmp_path, text)
    assert suppressed(report) == reached
    assert len(lines(report, UNUSED)) == (not reached)
    assert not told(report, "yaml-syntax")


def test_inner_and_outer_comments_keep_a_rule_silent_once(tmp_path: Path) -> None:
    text = f"policies:\n- name: a {WHY}\n  resource: aws.ec2\n  filters:\n  - nothing {WHY}\n"
    report = linted(tmp_path, text)
    assert report.suppressed == 1
    assert lines(report, UNUSED) == [5]


def test_a_comment_without_reason_does_not_stand_in_the_way(tmp_path: Path) -> None:
    text = f"policies:\n- name: a {IGNORE}\n  resource: aws.ec2\n  filters:\n  - nothing {WHY}\n"
    report = linted(tmp_path, text)
    assert suppressed(report) == [5]
    assert lines(report, NO_REASON) == [2]


def test_suppressed_ones_are_counted_and_keep_their_reason(tmp_path: Path) -> None:
    report = linted(tmp_path, f"policies:\n- name: a\n  resource: aws.ec2\n  filters: [nothing, nothing-2] {WHY}\n")
    assert report.suppressed == 2
    assert [each.suppressed for each in report.told] == ["it comes with the next c7n"] * 2
    assert not report.active
    assert report.worst() is Level.OFF
    assert [report.count(level) for level in Level] == [0, 0, 0, 0]


def test_other_rules_are_told_all_the_same(tmp_path: Path) -> None:
    report = linted(tmp_path, f"policies:\n- name: a {WHY}\n  resource: aws.ec2\n  filters: [nothing]\n  action: x\n")
    assert suppressed(report) == [4]
    assert lines(report, "schema") == [5]


# --- How it is written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "comment",
    [
        f"#finops-policy:ignore[{RULE}]because",
        f"#  finops-policy:  ignore [ {RULE} ]   because",
        f"# finops-policy: ignore[{RULE}]: because",
        f"# finops-policy: ignore[{RULE}] - because  ",
        f"#\tfinops-policy:\tignore[{RULE}]\tbecause\t",
        f"# finops-policy: ignore[,{RULE},] because",
        f"# finops-policy: ignore[{RULE},{RULE}] because",
    ],
)
def test_spaces_and_marks_do_not_matter(comment: str, tmp_path: Path) -> None:
    report = linted(tmp_path, f"policies:\n- name: a\n  resource: aws.ec2\n  filters: [nothing]\t{comment}\n")
    assert [each.suppressed for each in report.told] == ["because"]


def test_several_rules_in_one_comment(tmp_path: Path) -> None:
    comment = f"# finops-policy: ignore[{RULE}, unknown-action] both are new"
    report = linted(
        tmp_path, f"policies:\n{comment}\n- name: a\n  resource: aws.ec2\n  filters: [nothing]\n  actions: [nothing]\n"
    )
    assert suppressed(report) == [5, 6]
    assert not report.active


@pytest.mark.parametrize(
    "comment",
    [
        f"# finops-policy: ignore[{RULE}]",
        f"# finops-policy: ignore[{RULE}]  ",
        f"# finops-policy: ignore[{RULE}] - ",
        f"# finops-policy: ignore[{RULE}]:",
        "# finops-policy: ignore[] because",
        "# finops-policy: ignore[,] because",
        "# finops-policy: ignore because",
        "# finops-policy: ignore",
        f"# finops-policy: ignore {RULE} because",
        f"# finops-policy: ignore[{RULE} because",
    ],
)
def test_without_rule_or_reason_it_does_nothing_and_is_told(comment: str, tmp_path: Path) -> None:
    report = linted(tmp_path, f"policies:\n- name: a\n  resource: aws.ec2\n  filters: [nothing] {comment}\n")
    assert lines(report, RULE) == [4]
    assert [str(each.diagnostic.mark) for each in report.active if each.diagnostic.rule == NO_REASON] == [
        f"{tmp_path}/policies.yaml:4:22"
    ]
    assert not lines(report, UNUSED)


@pytest.mark.parametrize(
    "comment", ["# finops-policy: ignored", "# finops-policy is fine", f"# ignore[{RULE}] x", f"#: {RULE}"]
)
def test_other_comments_are_nobodys_business(comment: str, tmp_path: Path) -> None:
    report = linted(tmp_path, f"policies:\n- name: a {comment}\n  resource: aws.ec2\n  filters: [nothing]\n")
    assert lines(report, RULE) == [4]
    assert not [each for each in report.told if each.diagnostic.rule.startswith("suppression-")]


# --- What only looks like a comment -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        f"|\n      {WHY}\n",
        f">-\n      text {WHY}\n",
        f"|2\n\n      text\n\n      {IGNORE}\n\n",
        f"'text {WHY}'\n",
        f'"text\n      {WHY}\n      "\n',
        f"'it''s {IGNORE}'\n",
        f'["text {WHY}"]\n',
    ],
)
def test_text_is_no_comment(value: str, tmp_path: Path) -> None:
    text = (
        f"policies:\n- name: a\n  resource: aws.ec2\n  filters: [nothing]\n"
        f"  metadata:\n    note: {value}- name: b\n  resource: aws.s3\n"
    )
    report = linted(tmp_path, text)
    assert {each.diagnostic.rule for each in report.told} == {RULE}
    assert not report.suppressed


@pytest.mark.parametrize("head", ["|", ">-", "|2-", "&x |"])
def test_behind_the_head_of_a_block_there_may_be_a_comment(head: str, tmp_path: Path) -> None:
    text = (
        f"policies:\n- name: a\n  resource: aws.ec2\n  filters:\n"
        f"  - type: {head} {WHY}\n      nothing\n  - 'nothing' {WHY}\n  - |\n    nothing\n  {WHY}\n  - nothing\n"
    )
    report = linted(tmp_path, text)
    assert suppressed(report) == [5, 7, 11]
    assert lines(report, RULE) == [8]
    assert not lines(report, UNUSED)


def test_json_has_no_comments(tmp_path: Path) -> None:
    text = f'{{"policies": [{{"name": "a", "resource": "aws.ec2", "description": "x {WHY}", "filters": ["nothing"]}}]}}'
    report = linted(tmp_path, text, "a.json")
    assert lines(report, RULE) == [1]
    assert not report.suppressed
    assert not lines(report, UNUSED)


# --- What is told of comments -----------------------------------------------------------------------------------------


def test_a_comment_without_use_is_told_with_its_removal(tmp_path: Path) -> None:
    comment = "# finops-policy: ignore[unknown-filter] once upon a time"
    report = linted(tmp_path, f"policies:\n- name: a {comment}\n  resource: aws.s3\n")
    [found] = [each.diagnostic for each in report.active if each.diagnostic.rule == UNUSED]
    assert found.message == "nothing here breaks unknown-filter any more"
    assert str(found.mark).endswith(":2:11")
    assert found.fix
    assert (found.fix.old, found.fix.new) == (comment, "")


def test_a_rule_without_use_beside_one_with_use_is_told_and_left(tmp_path: Path) -> None:
    comment = f"# finops-policy: ignore[schema, {RULE}] both"
    report = linted(tmp_path, f"policies:\n- name: a {comment}\n  resource: aws.ec2\n  filters: [nothing]\n")
    [found] = [each.diagnostic for each in report.active if each.diagnostic.rule == UNUSED]
    assert found.message == "nothing here breaks schema any more"
    assert found.fix is None


def test_a_rule_that_is_off_may_well_have_its_comment(tmp_path: Path) -> None:
    text = f"policies:\n- name: a {WHY}\n  resource: aws.ec2\n  filters: [nothing]\n"
    assert not linted(tmp_path, text, levels={RULE: Level.OFF}).told


@pytest.mark.parametrize("rule", [rule.id for rule in RULES.values() if rule.needs_base] or ["none"])
def test_a_rule_that_needs_a_base_may_well_have_its_comment(rule: str, tmp_path: Path) -> None:
    assert rule in RULES
    report = linted(tmp_path, f"policies:\n- name: a # finops-policy: ignore[{rule}] known\n  resource: aws.s3\n")
    assert not lines(report, UNUSED)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("unknown-filtre", "Did you mean unknown-filter"),
        ("Unknown-Filter", "Did you mean unknown-filter"),
        ("zzz", "`finops-policy lint --rules` lists them."),
    ],
)
def test_an_unknown_rule_is_told_with_the_nearest(name: str, hint: str, tmp_path: Path) -> None:
    comment = f"# finops-policy: ignore[{name}, {RULE}] new"
    report = linted(tmp_path, f"policies:\n- name: a {comment}\n  resource: aws.ec2\n  filters: [nothing]\n")
    [found] = [each.diagnostic for each in report.active]
    assert (found.rule, found.message) == (UNKNOWN, f"there is no rule `{name}`")
    assert found.hint.startswith(hint)
    assert suppressed(report) == [4]


@pytest.mark.parametrize("rule", [NO_REASON, UNUSED, UNKNOWN])
def test_nothing_keeps_silent_what_is_wrong_with_comments(rule: str, tmp_path: Path) -> None:
    comment = f"# finops-policy: ignore[{rule}] I know better"
    other = "# finops-policy: ignore[nothing, schema] x"
    text = f"policies:\n- name: a {comment}\n  resource: aws.s3 {other}\n  # finops-policy: ignore\n"
    report = linted(tmp_path, text)
    assert not report.suppressed
    assert {each.diagnostic.rule for each in report.active} == {NO_REASON, UNUSED, UNKNOWN}
    assert told(report, UNUSED) == [
        f"no comment keeps `{rule}` silent, which is about comments",
        "nothing here breaks schema any more",
    ]
    assert {each.diagnostic.mark.line for each in report.active} == {2, 3, 4}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("policies: [ # finops-policy: ignore[yaml-syntax] soon\n", "yaml-syntax"),
        ("# finops-policy: ignore[empty-file] soon\n", "empty-file"),
        ("policies:\n\t- a # finops-policy: ignore[tab-indent] soon\n", "tab-indent"),
        ("policies: [] # finops-policy: ignore[several-documents] soon\n---\na: b\n", "several-documents"),
    ],
)
def test_nothing_keeps_silent_that_a_file_cannot_be_read(text: str, rule: str, tmp_path: Path) -> None:
    report = linted(tmp_path, text)
    assert {each.diagnostic.rule for each in report.active} == {rule}


def test_settings_turn_off_what_is_told_of_comments(tmp_path: Path) -> None:
    text = "policies: [] # finops-policy: ignore[schema] x\n"
    assert lines(linted(tmp_path, text), UNUSED) == [1]
    assert not linted(tmp_path, text, levels={UNUSED: Level.OFF}).told
    assert linted(tmp_path, text, levels={UNUSED: Level.ERROR}).worst() is Level.ERROR


def test_comments_work_in_files_of_ours(tmp_path: Path) -> None:
    text = (
        "apiVersion: finops-policy/v1\nkind: Waivers\nwaivers:\n"
        "  # finops-policy: ignore[waiver-expired] kept for the auditors\n"
        "  - id: W-1\n    policy: old\n    resource: arn:aws:s3:::a\n    owner: a@b.example\n"
        "    reason: The archive of the year 2019 stays as it is until the appeal is over.\n"
        "    requested_by: b@b.example\n    approved_by: c@b.example\n    ticket: F-1\n    expires: 2020-01-01\n"
    )
    report = linted(tmp_path, text, "waivers.yaml")
    assert [each.diagnostic.rule for each in report.told if each.suppressed] == ["waiver-expired"]
    assert not lines(report, "waiver-expired")


def test_many_comments_take_little_time(tmp_path: Path) -> None:
    """A file may be a megabyte of them."""
    text = "policies:\n" + f"  {WHY}\n  - {{name: a, resource: aws.ec2, filters: [nothing]}}\n" * 3000
    report = linted(tmp_path, text)
    assert report.suppressed == 3000


@pytest.mark.parametrize(
    ("resource", "action"),
    [
        ("aws.ec22", "actions: [terminate]"),
        ("gcp.instance", "actions: [terminate]"),
        ("aws.ec2", "actions: {type: terminate}"),
    ],
)
def test_a_comment_stays_where_its_rule_could_not_look(resource: str, action: str, tmp_path: Path) -> None:
    text = f"""policies:
  - name: a
    resource: {resource}
    # finops-policy: ignore[destructive-without-cap] development only
    {action}
"""
    report = linted(tmp_path, text)
    assert "suppression-unused" not in rules(report)
    assert not any(each.diagnostic.fix for each in report.told)


@pytest.mark.parametrize("comment", ["finops-policy ignore[x] no colon", "finops-policy: disable[x] another word"])
def test_what_looks_like_such_a_comment_is_told(comment: str, tmp_path: Path) -> None:
    text = f"policies:\n  - name: a\n    resource: aws.ec2 # {comment}\n"
    assert lines(linted(tmp_path, text), "suppression-reason") == [3]
