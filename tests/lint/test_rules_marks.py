"""The rules on names, marks and modes: what they say of Cloud Custodian is asked of it."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from c7n import tags
from c7n.cwe import CloudWatchEvents
from c7n.filters.core import BooleanGroupFilter, EventFilter
from c7n.mu import CloudWatchEventSource, PolicyLambda
from c7n.policy import LambdaMode, PullMode, execution
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finops_policy.custodian.knowledge import Element, knowledge
from finops_policy.lint import marks, modes
from finops_policy.lint.rules import RULES, marked_not_first
from tests.lint.corpus import examples, load_all, verdict
from tests.lint.kit import lines, linted, rules
from tests.lint.rules_kit import found_by, managers, one_a_line, policy, subject_of, together, told

MINE = (
    "action-mode", "deprecated", "malformed-variable", "mark-unknown-op", "mark-without-delay", "marked-bypassed",
    "mark-without-follow-up", "marked-not-first", "marked-op-mismatch", "mode-never-runs", "mode-without-role",
    "policy-name-duplicate", "policy-name-length", "policy-name-shared", "policy-name-suffix", "unresolved-variable",
)  # fmt: skip


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_in_two_files_is_told_once_for_the_second(tmp_path: Path) -> None:
    one = "policies: [{name: a, resource: ec2}, {name: b, resource: ec2}]"
    two = "policies: [{name: a, resource: ebs}, {name: a, resource: s3}, {name: c, resource: s3}]"
    report = together(tmp_path, one=one, two=two)
    [shared] = told(report, "policy-name-shared")
    assert Path(shared.mark.path).stem == "two"
    assert Path(shared.related[0].path).stem == "one"
    [twice] = told(report, "policy-name-duplicate")
    assert Path(twice.mark.path).stem == "two"


@pytest.mark.parametrize("mode", sorted(modes.LAMBDA))
@pytest.mark.parametrize("prefix", [None, "", "p-" * 20])
def test_a_name_is_too_long_exactly_where_c7n_refuses_it(mode: str, prefix: str | None, tmp_path: Path) -> None:
    data: dict[str, Any] = {"type": mode, "role": "r"}
    data |= {"function-prefix": prefix} if prefix is not None else {}
    extra: Mapping[str, Mapping[str, Any]] = {
        "cloudtrail": {"events": ["RunInstances"]},
        "config-poll-rule": {"schedule": "One_Hour", "ignore-support-check": True},
        "phd": {"events": ["x"]},
        "schedule": {"schedule": "rate(1 day)"},
    }
    longest = 64 - len("custodian-" if prefix is None else prefix)
    for length, refused in ((longest, False), (longest + 1, True)):
        document = {"name": "n" * length, "resource": "ec2", "mode": data | extra.get(mode, {})}
        text = yaml.safe_dump({"policies": [document]})
        assert bool(verdict(text)) is refused
        report = linted(tmp_path, text)
        assert ("policy-name-length" in rules(report)) is refused
        assert "custodian-validation" not in rules(report)


def test_what_else_is_wrong_with_a_mode_is_told_beside_a_long_name(tmp_path: Path) -> None:
    text = f"policies: [{{name: {'n' * 60}, resource: ec2, mode: {{type: cloudtrail, events: [NoSuchEvent]}}}}]"
    assert {"policy-name-length", "custodian-validation"} <= rules(linted(tmp_path, text))


_NAMES = st.lists(st.text("abx-", min_size=1, max_size=5), min_size=1, max_size=6, unique=True)


@given(names=_NAMES, with_function=st.sets(st.integers(0, 5)), prefix=st.sampled_from(["custodian-", "x-", ""]))
@example(names=["a", "x-a"], with_function={0}, prefix="x-")
@settings(max_examples=200, deadline=None)
def test_names_clash_as_mugc_compares_them(names: list[str], with_function: set[int], prefix: str) -> None:
    mode = {"type": "periodic", "schedule": "x", "role": "r", "function-prefix": prefix}
    documents = [
        {"name": name, "resource": "ec2"} | ({"mode": mode} if index in with_function else {})
        for index, name in enumerate(names)
    ]
    functions = {name: prefix + name for index, name in enumerate(names) if index in with_function}
    clashes = {
        name
        for name in names
        if any(name != other and function.endswith(name) for other, function in functions.items())
    }
    found = found_by(one_a_line(documents), "policy-name-suffix")
    assert {names[each.mark.line - 2] for each in found} == clashes


# --- marks ------------------------------------------------------------------------------------------------------------


def _mark_actions() -> Iterator[tuple[str, Any]]:
    """One resource type for each class of ``mark-for-op``."""
    seen = set()
    for name, manager in sorted(managers().items()):
        action = manager.action_registry.get(marks.MARK)
        if action is not None and action not in seen:
            seen.add(action)
            yield name, action


def test_every_mark_without_delay_is_due_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through c7n's own ``process``, of every class; nothing is sent anywhere."""
    sent: list[str] = []

    def send(*args: Any) -> None:
        written = args[7]
        sent.extend(written.values() if isinstance(written, dict) else [each["Value"] for each in written])

    monkeypatch.setattr(tags, "_common_tag_processer", send)
    resource = {"KeyManager": "CUSTOMER", "Name": "mine", "Type": "GLUE", "OwnerId": "000000000000", "Tags": []}
    tried = 0
    for name, _ in _mark_actions():
        [action] = policy(resource=name, actions=[{"type": marks.MARK, "op": "notify"}]).resource_manager.actions
        action.validate()
        monkeypatch.setattr(type(action), "get_client", lambda _self: None)
        before, sent[:] = dt.datetime.now(dt.UTC), []
        action.process([resource])
        dates = {f"notify@{each:%Y/%m/%d}" for each in (before, dt.datetime.now(dt.UTC))}
        assert [each.rpartition(" ")[2] in dates for each in sent] == [True], name
        tried += 1
    assert tried > 30


def test_the_tag_of_a_mark_is_the_one_that_c7n_writes(tmp_path: Path) -> None:
    assert marks.DEFAULT_TAG == tags.DEFAULT_TAG
    for data in ({}, {"tag": "t"}, {"key": "k"}, {"key": "k", "tag": "t"}):
        mark = {"type": marks.MARK, "op": "suspend", "days": 1, **data}
        [action] = policy(resource="asg", actions=[mark]).resource_manager.actions
        action.validate()
        waits = {"type": marks.MARKED, "op": "suspend", "tag": action.get_config_values()["tag"]}
        text = yaml.safe_dump({"policies": [
            {"name": "a", "resource": "asg", "actions": [mark]},
            {"name": "b", "resource": "asg", "filters": [waits], "actions": ["suspend"]},
        ]})  # fmt: skip
        assert "mark-without-follow-up" not in rules(linted(tmp_path, text))


def test_the_second_half_may_stand_in_another_file(tmp_path: Path) -> None:
    mark = "policies: [{name: a, resource: ec2, actions: [{type: mark-for-op, op: stop, days: 3}]}]"
    act = "policies: [{name: b, resource: aws.ec2, filters: [{type: marked-for-op, op: stop}], actions: [stop]}]"
    assert told(together(tmp_path, mark=mark), "mark-without-follow-up")
    assert not told(together(tmp_path, mark=mark, act=act), "mark-without-follow-up")
    assert not told(together(tmp_path, act=act, mark=mark), "mark-without-follow-up")


def test_a_mark_in_another_tag_names_the_policy_that_looks_for_it(tmp_path: Path) -> None:
    mark = "policies: [{name: a, resource: ec2, actions: [{type: mark-for-op, op: stop, days: 3, tag: t}]}]"
    act = "policies: [{name: b, resource: ec2, filters: [{type: marked-for-op, op: stop}], actions: [stop]}]"
    [found] = told(together(tmp_path, mark=mark, act=act), "mark-without-follow-up")
    assert "`b`" in found.hint
    assert "maid_status" in found.hint
    assert Path(found.related[0].path).stem == "act"


@pytest.mark.parametrize("name", ["ec2", "ebs", "asg", "acm-certificate", "kms-key"])
def test_an_op_is_unknown_exactly_where_c7n_refuses_it(name: str, tmp_path: Path) -> None:
    known = knowledge().type_of(f"aws.{name}")
    assert known
    ops = [*known.actions, "nope", "", "{op}"]
    documents = [
        {"name": f"p-{place}-{index}", "resource": name, place: [{"type": kind, "op": op, **more}]}
        for index, op in enumerate(ops)
        for place, kind, more in (("filters", marks.MARKED, {}), ("actions", marks.MARK, {"days": 1}))
    ]
    report = linted(tmp_path, one_a_line(documents))
    refused = [number for number, each in enumerate(documents, 2) if verdict(yaml.safe_dump({"policies": [each]}))]
    assert lines(report, "mark-unknown-op") == refused
    assert len(refused) >= 6
    assert "custodian-validation" not in rules(report)


def test_an_alias_of_an_action_is_no_op() -> None:
    """c7n looks for ``op`` among the names that actions are registered by. No type of AWS has an alias today."""
    known = knowledge().type_of("aws.ec2")
    assert known
    type_ = replace(known, actions={**known.actions, "halt": Element("halt", alias=True)})
    text = one_a_line([{"name": "a", "resource": "ec2", "actions": [{"type": marks.MARK, "op": "halt", "days": 1}]}])
    subject = subject_of(text)
    subject = replace(subject, policies=tuple(replace(each, type=type_) for each in subject.policies))
    assert [each.rule for name in MINE if (check := RULES[name].check) for each in check(subject)] == [
        "mark-unknown-op"
    ]


def test_what_else_c7n_refuses_is_still_told(tmp_path: Path) -> None:
    text = (
        "policies:\n"
        "  - name: a\n    resource: ec2\n    filters:\n"
        "      - {type: marked-for-op, op: nope}\n"
        "      - {type: value, key: a, op: regex, value: '['}\n"
    )
    report = linted(tmp_path, text)
    assert lines(report, "mark-unknown-op") == [5]
    assert lines(report, "custodian-validation") == [6]


def test_filters_that_cost_nothing_are_those_without_permissions() -> None:
    free, asking = set(), set()
    for manager in managers().values():
        for name, each in manager.filter_registry.items():
            if not issubclass(each, BooleanGroupFilter):
                own = each.permissions or "get_permissions" in {key for base in each.__mro__[:-3] for key in vars(base)}
                (asking if own else free).add(name)
    assert free - marked_not_first.FREE == set()
    assert marked_not_first.FREE - free == set()
    assert {"metrics", "subnet", "cross-account"} <= asking - marked_not_first.FREE


# --- modes ------------------------------------------------------------------------------------------------------------


def test_the_modes_are_those_of_c7n() -> None:
    load_all()
    known = dict(execution.items())
    aws = {name: each for name, each in known.items() if each.__module__.startswith("c7n.")}
    assert {name for name, each in aws.items() if issubclass(each, LambdaMode)} == modes.LAMBDA
    assert {name for name, each in aws.items() if issubclass(each, PullMode)} == modes.POLLING


def test_functions_are_called_as_c7n_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c7n.mu.custodian_archive", lambda **_settings: None)
    assert PolicyLambda(policy(mode={"type": "periodic"})).name == f"{modes.PREFIX}a"
    assert PolicyLambda(policy(mode={"type": "periodic", "function-prefix": "x-"})).name == "x-a"


def test_an_event_filter_without_an_event_lets_everything_through() -> None:
    made = policy(mode={"type": "periodic"}, filters=[{"type": "event", "key": "a", "value": "b"}])
    made.validate()
    [event] = made.resource_manager.filters
    assert isinstance(event, EventFilter)
    assert event.process([{"InstanceId": "i-1"}], None) == [{"InstanceId": "i-1"}]
    assert event.process([{"InstanceId": "i-1"}], {"a": "c"}) == []


@pytest.mark.parametrize("mode", sorted(modes.POLLING - {"pull"}))
def test_modes_that_poll_hand_no_event_on(mode: str) -> None:
    source = inspect.getsource(execution[mode].run)
    assert "PullMode.run(self)" in source


def test_a_periodic_function_without_a_schedule_has_nothing_that_starts_it() -> None:
    """``put_rule`` needs a pattern or a schedule, and c7n gives it neither."""
    assert CloudWatchEventSource({"type": "periodic"}, None).render_event_pattern() is None
    source = inspect.getsource(CloudWatchEventSource.add)
    assert "schedule = self.data.get('schedule')" in source


@pytest.mark.parametrize(
    ("mode", "key"), [("ec2-instance-state", '"state": []'), ("asg-instance-state", '"detail-type": []')]
)
def test_states_without_events_match_none(mode: str, key: str) -> None:
    assert key in CloudWatchEventSource({"type": mode}, None).render_event_pattern()


def test_events_of_states_carry_the_ids_of_one_type() -> None:
    event = {"detail": {"instance-id": "i-1", "AutoScalingGroupName": "g"}}
    assert CloudWatchEvents.get_ids(event, {"type": "ec2-instance-state"}) == ["i-1"]
    assert CloudWatchEvents.get_ids(event, {"type": "asg-instance-state"}) == ["g"]
    with_id = {
        f"aws.{name}" for name, each in managers().items() if getattr(each.resource_type, "id", "") == "InstanceId"
    }
    assert with_id == {"aws.ec2", "aws.ec2-instance-ami", "aws.ssm-managed-instance"}


# --- all of them ------------------------------------------------------------------------------------------------------


def test_c7ns_own_examples_are_left_alone() -> None:
    """Each finding here was looked at and is true; a new one is a false alarm until somebody has looked at it."""
    quiet = set(MINE) - {"deprecated", "mark-without-follow-up", "mode-without-role"}
    found = {
        (each.origin, one.rule)
        for each in examples()
        for one in found_by(each.text, *quiet)
        if not (RULES[one.rule].level == "error" and verdict(each.text))
    }
    assert found == {("c7n.filters.core.ListItemFilter", "unresolved-variable")}  # `${account_id}`: a `$` too many


_WORDS = st.sampled_from([
    "ec2", "aws.asg", "mark-for-op", "marked-for-op", "stop", "event", "notify", "event-owner", "{", "}", "{a}", "${a}",
    "{account_id}", "periodic", "ec2-instance-state", "unmark", "flow-logs", "metrics", "",
])  # fmt: skip
_KEYS = st.sampled_from([
    "name", "resource", "mode", "type", "filters", "actions", "or", "and", "not", "op", "tag", "key", "value", "to",
    "cc", "days", "events", "schedule", "function-prefix", "role", "region", "vars", "{a}",
])  # fmt: skip
_SCALARS = st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats(0, 9) | _WORDS
_ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=25
)
_TYPES = st.sampled_from(["ec2", "asg", "aws.vpc", "app-elb", "gcp.instance"])
_PARTS = ("filters", "actions", "mode", "conditions", "region", "query")
_POLICIES = st.fixed_dictionaries(
    {"name": _ANYTHING, "resource": _TYPES | _ANYTHING}, optional=dict.fromkeys(_PARTS, _ANYTHING)
)


@given(st.lists(_POLICIES, max_size=4))
@settings(max_examples=300, deadline=None)
def test_nothing_raises_whatever_a_policy_holds(documents: Any) -> None:
    for each in found_by(one_a_line(documents) if documents else "policies: []", *MINE):
        assert each.rule in MINE
        assert each.mark.line > 1
        assert each.message.strip()
