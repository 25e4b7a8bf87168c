"""The pages of the rules, ``docs/lint/<rule>.md``: for ``--explain``, and as help in SARIF."""

from __future__ import annotations

from finops_policy.library import library_root


def page(rule_id: str) -> str:
    """The page of a rule of the registry, as Markdown. A wheel has it in ``lint``, a checkout in ``docs/lint``."""
    packaged = library_root().joinpath("lint")
    folder = packaged if packaged.is_dir() else library_root().joinpath("docs", "lint")
    return folder.joinpath(f"{rule_id}.md").read_text(encoding="utf-8")
