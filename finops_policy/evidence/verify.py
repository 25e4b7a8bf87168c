"""Whether a bundle and its chain are still what was sealed.

Needs the files and a public key, and nothing else: no AWS, no network, no library of policies. What lies on the disk is
compared with what was signed; a name that only a record holds is never opened. The package's docstring says what a
signature cannot prove.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finops_policy.errors import EvidenceError
from finops_policy.evidence import layout
from finops_policy.evidence.chain import Claim, ClaimKind, Link, parse_claim
from finops_policy.evidence.problems import Problem, ProblemKind, printable
from finops_policy.evidence.signing import PublicKey


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, and what is wrong. Not everything can be checked everywhere: ``notes`` says what was not.

    ``runs`` counts the records and signatures checked, ``files`` the files compared. ``newest`` is the last run of a
    sound chain: noting its digest outside the store guards against an older copy of the whole store.
    """

    place: Path
    runs: int
    files: int
    chain_checked: bool
    newest: Link | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(place: Path, key: PublicKey) -> Verification:
    """Verify what lies at ``place``: a bundle, with its chain when it lies in a store, or all of a customer's runs.

    Raises :class:`EvidenceError` when it is neither, or a folder of the store cannot be read.
    """
    place = place.resolve()
    if layout.customer_of(place) is not None and place.is_dir():
        return verify_chain(place, key)
    if not place.is_dir():
        raise EvidenceError(f"There is no folder {place}", hint="Name a run=... or a customer=... folder.")
    if (customer := layout.stands_in(place)) is not None:
        return verify_chain(customer, key, only=place)
    if layout.run_of(place) is not None or (place / layout.RUN_RECORD).exists() or (place / layout.RUN_SEAL).exists():
        return verify_bundle(place, key)
    inside = ", ".join(f"customer={name}" for name in layout.customers(place))
    raise EvidenceError(
        f"{place} is neither a bundle nor the folder of a customer",
        hint=f"Name one of the folders in it: {inside}." if inside else "Name a run=... or a customer=... folder.",
    )


def verify_bundle(folder: Path, key: PublicKey) -> Verification:
    """Verify one bundle by itself. Nothing can be said of the runs before and after it, and a note says so."""
    run = _check_run(folder, None, key)
    count, problems = _check_files(run)
    note = "The chain was not checked, since the bundle stands alone: runs removed before or after it go unnoticed."
    if run.claim and run.claim.previous:
        note += f" It follows {run.claim.previous}, whose run.json has the SHA-256 {run.claim.previous.digest}."
    return Verification(folder, 1, count, False, None, (*run.problems, *problems), (note,))


def verify_chain(customer: Path, key: PublicKey, *, only: Path | None = None) -> Verification:
    """Verify a customer's chain and the files of its runs; with ``only``, of that one run. A run that was never sealed
    is no evidence and no fault of the chain: a note names it.

    Raises :class:`EvidenceError` when there is nothing to verify: no run at all is not a chain without a fault.
    """
    runs = [_check_run(folder, customer, key) for folder in layout.run_folders(customer)]
    head = _read_head(customer, key)
    sealed = [run for run in runs if not run.incomplete]
    if not sealed and head.problem and head.problem.kind is ProblemKind.HEAD_MISSING:
        raise EvidenceError(
            f"There is no sealed run in {customer}", hint="Check the path; if runs were there, find out why."
        )
    problems = [*_check_head(customer, head, runs), *_check_chain(customer, runs, head.proven)]
    missing = {problem.where for problem in problems if problem.kind is ProblemKind.RUN_MISSING}
    files, notes = 0, []
    for run in runs:
        if run.incomplete and printable(str(run.folder)) in missing:
            continue
        if run.incomplete and only != run.folder:
            notes.append(printable(f"{run.folder.name} is incomplete, so it is no part of the chain."))
            continue
        problems += run.problems
        if only in {None, run.folder}:
            count, wrong = _check_files(run)
            files += count
            problems += wrong
    newest = head.proven.link if head.proven and not problems else None
    return Verification(only or customer, len(sealed), files, True, newest, tuple(problems), tuple(notes))


# --- One run --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seal:
    """An envelope as found: what it says, if that is fit to be compared with, and what is wrong with it."""

    said: Claim | None
    problem: Problem | None

    @property
    def proven(self) -> Claim | None:
        return None if self.problem else self.said


@dataclass(frozen=True, slots=True)
class _Run:
    """A run's folder as found; ``files`` is what its record says, and None when there is nothing to compare with."""

    folder: Path
    seal: _Seal
    problems: tuple[Problem, ...]
    files: Mapping[str, Any] | None = None
    incomplete: bool = False

    @property
    def claim(self) -> Claim | None:
        """What is proven of the run, if its record is as it was signed and lies where it belongs."""
        return None if self.problems else self.seal.said


def _check_run(folder: Path, customer: Path | None, key: PublicKey) -> _Run:
    """Everything about a run but its other files. Without ``customer`` it stands alone and may have any name."""
    if folder.is_symlink():
        problem = Problem.at(folder, ProblemKind.NOT_A_FILE, "It is a symbolic link, not the folder of a run")
        return _Run(folder, _Seal(None, problem), (problem,))
    seal = _read_seal(folder / layout.RUN_SEAL, ClaimKind.RUN, key)
    record = _read(folder / layout.RUN_RECORD)
    if record is None:
        unsigned = seal.problem is not None and seal.problem.kind is ProblemKind.RUN_UNSIGNED
        why = "was never sealed" if unsigned else "is signed, but its run.json was removed or never written"
        problem = Problem.at(folder, ProblemKind.RUN_INCOMPLETE, f"The run is incomplete: it {why}")
        return _Run(folder, seal, (problem,), incomplete=True)
    problems = [seal.problem] if seal.problem else []
    files = None
    if isinstance(record, Problem):
        problems.append(record)
    elif seal.said and hashlib.sha256(record).hexdigest() != seal.said.link.digest:
        message = "The record of the run is not the one that was signed; its files were not compared with it"
        problems.append(Problem.at(folder / layout.RUN_RECORD, ProblemKind.RECORD_CHANGED, message))
    elif (files := _files_of(record, seal.said)) is None:
        message = "The record of the run does not say what its signature says"
        problems.append(Problem.at(folder / layout.RUN_RECORD, ProblemKind.RECORD_INVALID, message))
    if seal.proven and (home := _home(folder, customer, seal.proven)):
        problems.append(Problem.at(folder, ProblemKind.RUN_MISPLACED, f"What lies here is {home}"))
    return _Run(folder, seal, tuple(problems), files)


def _read(path: Path) -> bytes | Problem | None:
    """The content of a plain file; None when there is nothing of that name."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return _not_a_file(path)
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return _unreadable(path, error)


def _not_a_file(path: Path) -> Problem:
    what = "a symbolic link" if path.is_symlink() else "a folder or a special file"
    return Problem.at(path, ProblemKind.NOT_A_FILE, f"It is {what} where a bundle has plain files only")


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem.at(path, ProblemKind.UNREADABLE, f"It cannot be read and was not checked: {error.strerror}")


def _read_seal(path: Path, kind: ClaimKind, key: PublicKey) -> _Seal:
    data = _read(path)
    if data is None:
        missing = {
            ClaimKind.RUN: (ProblemKind.RUN_UNSIGNED, "The run has no signature"),
            ClaimKind.HEAD: (ProblemKind.HEAD_MISSING, "The head of the chain is missing"),
        }
        return _Seal(None, Problem.at(path, *missing[kind]))
    if isinstance(data, Problem):
        return _Seal(None, data)
    try:
        claim, signed = parse_claim(data, kind)
    except ValueError as error:
        return _Seal(None, Problem.at(path, ProblemKind.SIGNATURE_INVALID, f"The signature is damaged: {error}"))
    if signed.signer != key.id:
        message = f"It is signed with the key {signed.signer}, not with {key.id}"
        return _Seal(claim, Problem.at(path, ProblemKind.WRONG_KEY, message))
    if not signed.proven_by(key):
        return _Seal(None, Problem.at(path, ProblemKind.SIGNATURE_INVALID, "The signature does not fit what it signs"))
    return _Seal(claim, None)


def _files_of(record: bytes, said: Claim | None) -> Mapping[str, Any] | None:
    try:
        data = json.loads(record)
        agrees = said is None or (data["customer"]["name"], data["run_id"], data["sequence"], data["previous"]) == (
            said.customer,
            said.link.run_id,
            said.link.sequence,
            asdict(said.previous) if said.previous else None,
        )
        files = data["files"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return files if agrees and isinstance(files, dict) else None


def _home(folder: Path, customer: Path | None, claim: Claim) -> str:
    """Whose run it is, if it does not belong into this folder; else nothing."""
    if customer is None:
        moved = layout.run_of(folder) not in {None, claim.link.run_id}
    else:
        home = layout.relative_run_folder(claim.link.run_id)
        moved = claim.customer != layout.customer_of(customer) or folder.relative_to(customer) != home
    return f"{claim.link} of {claim.customer}" if moved else ""


def _check_files(run: _Run) -> tuple[int, list[Problem]]:
    """Compare everything in the bundle with its record; how many files were compared, and what is wrong."""
    if run.files is None:
        return 0, []
    problems, seen = [], set()
    try:
        for name, mode in layout.walk(run.folder):
            if name in {layout.RUN_RECORD, layout.RUN_SEAL}:
                continue
            seen.add(name)
            if problem := _check_file(run.folder / name, mode, run.files.get(name)):
                problems.append(problem)
    except OSError as error:
        folder = Path(error.filename or run.folder)
        return len(seen), [*problems, _unreadable(folder, error)]
    problems += [
        Problem.at(run.folder / name, ProblemKind.FILE_MISSING, "The file is gone")
        for name in sorted(run.files.keys() - seen)
    ]
    return len(seen), problems


def _check_file(path: Path, mode: int, recorded: object) -> Problem | None:
    if not stat.S_ISREG(mode):
        return _not_a_file(path)
    if recorded is None:
        return Problem.at(path, ProblemKind.FILE_ADDED, "The file was not there when the run was sealed")
    try:
        same = layout.measure(path) == recorded
    except OSError as error:
        return _unreadable(path, error)
    return None if same else Problem.at(path, ProblemKind.FILE_CHANGED, "The file is not as it was sealed")


# --- The chain ------------------------------------------------------------------------------------------------------


def _read_head(customer: Path, key: PublicKey) -> _Seal:
    path = customer / layout.HEAD
    head = _read_seal(path, ClaimKind.HEAD, key)
    if head.proven and head.proven.customer != layout.customer_of(customer):
        message = f"It is the head of another customer, {head.proven.customer}"
        return _Seal(head.said, Problem.at(path, ProblemKind.RUN_MISPLACED, message))
    return head


def _check_head(customer: Path, head: _Seal, runs: Sequence[_Run]) -> Iterator[Problem]:
    if head.problem:
        if head.problem.kind is not ProblemKind.HEAD_MISSING or any(not run.incomplete for run in runs):
            yield head.problem
    elif head.said:
        last = max((run.claim.link.sequence for run in runs if run.claim), default=0)
        if last > head.said.link.sequence:
            message = f"The head names {head.said.link}, but there is a run number {last}"
            yield Problem.at(customer / layout.HEAD, ProblemKind.HEAD_BEHIND, message)


def _check_chain(customer: Path, runs: Sequence[_Run], head: Claim | None) -> Iterator[Problem]:
    """Every number from 1 to the newest is there once, and each run is the one that the next one, or the head, names.

    A run that is there but cannot be believed has a problem of its own, and is not called missing as well.
    """
    sound = {run.folder: claim for run in runs if (claim := run.claim)}
    broken = {layout.run_of(run.folder): run for run in runs if not run.claim}
    named = {head.link: "the head of the chain"} if head else {}
    by_number: dict[int, Path] = {}
    for folder, claim in sorted(sound.items(), key=lambda item: item[1].link.sequence):
        if (first := by_number.setdefault(claim.link.sequence, folder)) != folder:
            message = f"It has the number {claim.link.sequence}, and so has {first.name}"
            yield Problem.at(folder, ProblemKind.NUMBER_TWICE, message)
        if claim.link.sequence != (claim.previous.sequence + 1 if claim.previous else 1):
            message = f"It has the number {claim.link.sequence}, but follows {claim.previous or 'no run'}"
            yield Problem.at(folder, ProblemKind.CHAIN_BROKEN, message)
        if claim.previous:
            named.setdefault(claim.previous, folder.name)
    at_hand = {claim.link.run_id: (folder, claim.link) for folder, claim in sound.items()}
    for link, namer in named.items():
        folder, found = at_hand.get(link.run_id, (customer / layout.relative_run_folder(link.run_id), None))
        run = broken.get(link.run_id)
        if found and found != link:
            message = f"It is not the run that {namer} names: {link} with the SHA-256 {link.digest}"
            yield Problem.at(folder, ProblemKind.CHAIN_BROKEN, message)
        elif run and run.incomplete:
            yield Problem.at(run.folder, ProblemKind.RUN_MISSING, f"The run.json of {link} is gone; {namer} names it")
        elif not found and not run:
            yield Problem.at(folder, ProblemKind.RUN_MISSING, f"{link} is gone; {namer} names it")
    numbers = by_number.keys() | {link.sequence for link in named}
    claimed = {run.seal.said.link.sequence for run in broken.values() if run.seal.said}
    for number in range(1, max(numbers, default=0)):
        if number not in numbers | claimed:
            message = f"The run with the number {number} is gone, and so is the one that followed it and knew its name"
            yield Problem.at(customer, ProblemKind.RUN_MISSING, message)
