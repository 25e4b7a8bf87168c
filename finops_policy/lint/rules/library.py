"""How packs, profiles, frameworks, customers and waivers fit together; told by ``lint.library``."""

from __future__ import annotations

from finops_policy.lint.rule import Level, Rule

_REFUSED = "`finops-policy run` refuses the customer, or the profile, as a whole."

RULES = (
    Rule("name", Level.ERROR, "A file and what it says of itself have different names.", _REFUSED),
    Rule("duplicate", Level.ERROR, "Something that must be there once is there twice.", _REFUSED),
    Rule("clash", Level.ERROR, "An organizational unit is both included and excluded.", _REFUSED),
    Rule("unknown-pack", Level.ERROR, "A pack does not exist.", _REFUSED),
    Rule("unknown-framework", Level.ERROR, "A framework does not exist.", _REFUSED),
    Rule("unknown-policy", Level.ERROR, "A policy does not exist.",
         "A control's mapping to it proves nothing; a waiver of it does not apply."),
    Rule("unknown-profile", Level.ERROR, "A customer names a profile that does not exist.", _REFUSED),
    Rule("unknown-parameter", Level.ERROR, "A pack has no such parameter.", _REFUSED),
    Rule("unknown-group", Level.ERROR, "A control is in a group that its framework does not list.", _REFUSED),
    Rule("unused-parameter", Level.ERROR, "A parameter is set or declared, and nothing uses it.",
         "Somebody believes that it changes what is found."),
    Rule("placeholder", Level.ERROR, "`${name}` is not a whole value.",
         "A parameter keeps its type only where it is the whole value."),
    Rule("parameter-type", Level.ERROR, "A parameter's value does not fit its schema.", _REFUSED),
    Rule("final-parameter", Level.ERROR, "A parameter is set again that a profile has locked.",
         "The profile's owner has decided that customers may not change it."),
    Rule("version-range", Level.ERROR, "A version is outside of the range that is asked for.", _REFUSED),
    Rule("self-approved", Level.ERROR, "A waiver is approved by the person who requested it.",
         "It does not apply: nobody may accept their own finding."),
)  # fmt: skip
