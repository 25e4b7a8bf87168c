"""Tags of any resource: put on, taken off, and marks for a later action.

Only the keys that an action touches matter: whoever changes other tags meanwhile is left alone. A value that the
profile withholds is in no plan, so it is never written back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from finops_policy.redaction import WITHHELD
from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.common import NoDependants, joined, tags_of
from finops_policy.remediation.recipes.recipe import Recipe, Seen, Site, State, Subject, Undo, Undoable
from finops_policy.remediation.recipes.tag_services import GROUP, tagger

Values = Mapping[str, Any]

DEFAULT_TAG = "maid_status"
"""c7n's key where an action names none."""
MESSAGE = "Resource does not meet policy: {op}@{action_date}"
GROUP_MESSAGE = "AutoScaleGroup does not meet org policy: {op}@{action_date}"
GROUP_TAG = "AutoScaleGroup does not meet policy guidelines"
BRACES = re.compile(r"\{(\w+(?::[^{}]*)?)\}")


class Changed(NoDependants):
    """What adding and removing tags have in common: the touched keys as they were, and how they come back."""

    def touched(self, action: Values) -> tuple[str, ...]:
        raise NotImplementedError

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        """``absent`` are the touched keys that were not there; ``propagated`` what Auto Scaling groups also say."""
        tags, keys = tags_of(resource), self.touched(action)
        found: dict[str, Any] = {
            "tags": {key: tags[key] for key in keys if key in tags},
            "absent": [key for key in keys if key not in tags],
            "_type": subject.resource_type,
        }
        if subject.resource_type == "aws.asg":
            described = resource.get("Tags") or []
            found["propagated"] = {
                each["Key"]: bool(each.get("PropagateAtLaunch")) for each in described if each["Key"] in found["tags"]
            }
        return found

    def undo_of(self, before: Values, action: Values) -> Undo:
        secret = common.withheld(before["tags"])
        kept = [key for key in before["tags"] if key not in secret]
        parts = []
        if kept:
            parts.append(f"write back {joined(kept)}")
        if before["absent"]:
            parts.append(f"remove {joined(before['absent'])}")
        lost = common.lost_tags(dict.fromkeys(secret, WITHHELD))
        if not parts:
            return Undo(Undoable.NO, "nothing can be written back", lost)
        possible = Undoable.PARTLY if lost else Undoable.YES
        return Undo(possible, " and ".join(parts), lost, tagger(before["_type"]).permissions)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        now = tagger(subject.resource_type).read(site, subject) or {}
        wanted = common.writable(before["tags"])
        if wrong := common.differences(wanted, now):
            tags = {key: wanted[key] for key in wrong}
            if subject.resource_type == "aws.asg":
                GROUP.write_with(site, subject, tags, before["propagated"])
            else:
                tagger(subject.resource_type).write(site, subject, tags)
        if superfluous := [key for key in before["absent"] if key in now]:
            tagger(subject.resource_type).remove(site, subject, superfluous)
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        now = tagger(subject.resource_type).read(site, subject)
        if now is None:
            return Seen(State.NOT_REACHED, "it does not exist any more")
        after = {"tags": {key: now[key] for key in self.touched(action) if key in now}}
        wrong = common.differences(common.writable(before["tags"]), now)
        wrong += [key for key in before["absent"] if key in now]
        if wrong:
            return Seen(State.NOT_REACHED, f"the tags {joined(wrong)} are not as they were", after)
        secret = common.withheld(before["tags"])
        return Seen(State.REACHED, f"the tags {joined(secret)} stay as they are: withheld" if secret else "", after)


class Remove(Changed):
    def touched(self, action: Values) -> tuple[str, ...]:
        return tuple(action.get("tags") or [action.get("key", DEFAULT_TAG)])

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        now = tagger(subject.resource_type).read(site, subject)
        if now is None:
            return Seen(State.NOT_REACHED, "it does not exist any more")
        left = [key for key in self.touched(action) if key in now]
        if left:
            return Seen(State.NOT_REACHED, f"it still has {joined(left)}", {"tags": {key: now[key] for key in left}})
        return Seen(State.REACHED, "", {"tags": {}})


class Add(Changed):
    """A value that c7n works out for itself (looked up in the resource, or the time) is not known here."""

    def touched(self, action: Values) -> tuple[str, ...]:
        return tuple(self._wanted(action))

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        now = tagger(subject.resource_type).read(site, subject)
        if now is None:
            return Seen(State.NOT_REACHED, "it does not exist any more")
        after = {"tags": {key: now[key] for key in self.touched(action) if key in now}}
        states = {
            key: _state(now.get(key), value, before["tags"].get(key), site)
            for key, value in self._wanted(action).items()
        }
        missing = [key for key, state in states.items() if state is State.NOT_REACHED]
        if missing:
            return Seen(State.NOT_REACHED, f"{joined(missing)} is not what it should be", after)
        unclear = [key for key, state in states.items() if state is State.UNKNOWN]
        if unclear:
            says = f"{joined(unclear)} is as it was, and what c7n would write is not known here"
            return Seen(State.UNKNOWN, says, after)
        return Seen(State.REACHED, "", after)

    def _wanted(self, action: Values) -> dict[str, Any]:
        """Key -> value as the action writes it, for c7n to expand."""
        found = {}
        message = action.get("value") or action.get("msg")
        tags = dict(action.get("tags") or {})
        if message is not None or not tags:
            found[action.get("key") or action.get("tag") or DEFAULT_TAG] = message or GROUP_TAG
        return {str(key): value for key, value in {**found, **tags}.items()}


class Mark(Add):
    """A mark says what will be done, and from which day; c7n works out the day when it acts.

    A mark for the same action that is already there counts: marking again would only put it off.
    """

    def _wanted(self, action: Values) -> dict[str, Any]:
        message = str(action.get("message") or action.get("msg") or MESSAGE)
        key = action.get("key") or action.get("tag") or DEFAULT_TAG
        return {str(key): message.replace("{op}", str(action.get("op", "stop")))}

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        if subject.resource_type == "aws.asg" and not (action.get("message") or action.get("msg")):
            action = {**action, "message": GROUP_MESSAGE}
        [(key, template)] = self._wanted(action).items()
        now = tagger(subject.resource_type).read(site, subject)
        if now is None:
            return Seen(State.NOT_REACHED, "it does not exist any more")
        after = {"tags": {key: now[key]} if key in now else {}}
        if key in now and _pattern(template, site).fullmatch(now[key]):
            return Seen(State.REACHED, "", after)
        return Seen(State.NOT_REACHED, f"{key} is no mark for {action.get('op', 'stop')}", after)


def _state(now: str | None, wanted: Any, before: str | None, site: Site) -> State:
    if now is None:
        return State.NOT_REACHED
    if isinstance(wanted, Mapping):
        if "key" not in wanted:  # c7n writes it only where there is none
            return State.REACHED
        return State.UNKNOWN if before in (now, WITHHELD) else State.REACHED
    if not _pattern(str(wanted), site).fullmatch(now):
        return State.NOT_REACHED
    return State.REACHED


def _pattern(template: str, site: Site) -> re.Pattern[str]:
    """What c7n makes of ``{name}`` in a value: the account, the region, else anything."""
    known = {"account_id": site.target.account_id, "region": site.target.region}
    parts = BRACES.split(template)
    texts, names = parts[0::2], [*parts[1::2], ""]
    places = [re.escape(known[name]) if name in known else ".+" if name else "" for name in names]
    return re.compile("".join(re.escape(text) + place for text, place in zip(texts, places, strict=True)))


ADD, REMOVE = Add(), Remove()
RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("*", "tag"): ADD,
    ("*", "mark"): ADD,
    ("*", "remove-tag"): REMOVE,
    ("*", "untag"): REMOVE,
    ("*", "unmark"): REMOVE,
    ("*", "mark-for-op"): Mark(),
}
