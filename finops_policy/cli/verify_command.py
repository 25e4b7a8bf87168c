"""``finops-policy verify``: is the evidence what was sealed?"""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import EvidenceError, ExitCode, UsageError


@click.command("verify")
@click.argument("place", required=False, type=click.Path(path_type=Path))
@click.option("--customer", help="Verify every run of this customer in the store, instead of a folder.")
@click.option("--key", type=click.Path(path_type=Path), help="Public key (.pub). Default: the one of this machine.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the answer.")
@options.store
@options.workspace
@options.verbose
def command(
    place: Path | None, customer: str | None, key: Path | None, form: str, store: Path | None, workspace: Path
) -> int:
    """Check every file, signature and link of a bundle (PLACE: a run=... folder, or customer=... for a whole chain).

    Needs the files and the public key, nothing else. Exits with 1 when anything is wrong.

    \b
    Examples:
      finops-policy verify --customer acme
      finops-policy verify run=20261124T080000Z-3f2a9c1b/ --key signing.pem.pub
    """
    from rich.text import Text

    from finops_policy.cli.console import stdout
    from finops_policy.evidence.signing import PublicKey, default_key_path, public_path
    from finops_policy.evidence.store import LocalStore
    from finops_policy.evidence.verify import verify
    from finops_policy.spelling import plain

    if (place is None) == (customer is None):
        raise UsageError("Give a folder or --customer, one of them.", hint="Try `finops-policy verify --help`.")
    if customer is not None:
        place = LocalStore(options.store_of(workspace, store)).customer_folder(customer)
    assert place is not None  # noqa: S101 - one of the two was given
    path = key or public_path(default_key_path())
    if key is None and not path.is_file():
        raise EvidenceError("This machine has no key of its own.", hint="Give the signer's public key with --key.")
    found = verify(place, PublicKey.load(path))
    console = stdout()
    if form == "json":
        document = {
            "schema": "finops-policy/verification/v1",
            "place": str(found.place),
            "ok": found.ok,
            "runs": found.runs,
            "files": found.files,
            "chain_checked": found.chain_checked,
            "newest": {"run_id": found.newest.run_id, "digest": found.newest.digest} if found.newest else None,
            "problems": [
                {"kind": each.kind.value, "where": each.where, "message": each.message, "next_step": each.next_step}
                for each in found.problems
            ],
            "notes": list(found.notes),
        }
        console.out(json.dumps(document, indent=2), highlight=False)
        return ExitCode.CLEAN if found.ok else ExitCode.ERROR
    for each in found.problems:
        line = Text.assemble((f"{each.kind.value}: ", "bold red"), plain(each.where), ": ", plain(each.message))
        console.print(line, soft_wrap=True)
        console.print(Text(f"    {plain(each.next_step)}"), soft_wrap=True)
    for note in found.notes:
        console.print(Text(f"Note: {plain(note)}"), soft_wrap=True)
    told = f"{found.runs} run{'' if found.runs == 1 else 's'}, {found.files} files"
    if found.newest is not None:
        console.print(f"Newest: {found.newest.run_id}, run.json SHA-256 {found.newest.digest}", soft_wrap=True)
    if found.ok:
        console.print(Text(f"Verified: {told} are as they were sealed.", "green"))
        return ExitCode.CLEAN
    count = len(found.problems)
    console.print(Text(f"NOT VERIFIED: {count} problem{'' if count == 1 else 's'} in {told}.", "bold red"))
    return ExitCode.ERROR
