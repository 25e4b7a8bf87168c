"""What a file must be before anything in it can be looked at: told by ``sources`` and ``settings``."""

from __future__ import annotations

from finops_policy.lint.rule import Level, Rule

_UNREAD = "Nothing in the file can be checked, and Cloud Custodian cannot run it."

RULES = (
    Rule("file-unreadable", Level.ERROR, "A file or folder cannot be read.", _UNREAD),
    Rule("file-too-large", Level.ERROR, "A file is larger than 1 MiB, or holds more than 100,000 values.",
         "Reading it would take long, and nobody can review it."),
    Rule("encoding", Level.ERROR, "A file is not UTF-8.", _UNREAD),
    Rule("control-character", Level.ERROR, "A file holds a character that nobody sees.",
         "Editors and reviewers see another text than the program that runs it."),
    Rule("yaml-syntax", Level.ERROR, "A file is not YAML.", _UNREAD),
    Rule("tab-indent", Level.ERROR, "A tab stands where YAML wants spaces.", _UNREAD),
    Rule("nesting-depth", Level.ERROR, "Lists and mappings are nested more than 100 levels deep.", _UNREAD),
    Rule("several-documents", Level.ERROR, "A file holds more than one YAML document.",
         "Cloud Custodian refuses it; other programs read the first one and leave the others out."),
    Rule("empty-file", Level.ERROR, "A file holds nothing but comments.", "Cloud Custodian refuses it."),
    Rule("yaml-alias", Level.ERROR, "An alias leads nowhere, to itself, or to too much.", _UNREAD),
    Rule("yaml-tag", Level.ERROR, "A value has a YAML tag.", "Tags make values that JSON does not have."),
    Rule("merge-key", Level.ERROR, "`<<` merges something that is no mapping.", _UNREAD),
    Rule("non-string-key", Level.ERROR, "A key is read as a number, a date or true/false.",
         "`on:` and `no:` are true and false in YAML: the setting of that name does not exist."),
    Rule("not-a-number", Level.ERROR, "A number is infinite, none at all, or absurdly long.",
         "Every comparison with it is false, whatever the resource."),
    Rule("settings", Level.ERROR, "`finops-policy.toml` has a mistake.",
         "A level that is not applied leaves a pull request green that should be red."),
)  # fmt: skip
