"""The shipped frameworks: complete against their source, and no claim stronger than it can be defended.

The identifiers are written out a second time on purpose: a control lost from a catalogue makes every figure of a report
look better than it is, and only a second list can notice.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from finops_policy.library import library_root

HIPAA, SOX, NIST = "hipaa-security-rule", "sox-itgc", "fedramp-moderate"
FRAMEWORKS = (HIPAA, SOX, NIST)

HIPAA_KINDS = {  # 45 CFR 164.308 to .316; a standard without specifications of its own is itself required
    "standard": (
        "308(a)(1)(i) 308(a)(3)(i) 308(a)(4)(i) 308(a)(5)(i) 308(a)(6)(i) 308(a)(7)(i) 308(b)(1) "
        "310(a)(1) 310(d)(1) 312(a)(1) 312(c)(1) 312(e)(1) 314(a)(1) 314(b)(1) 316(b)(1)"
    ),
    "required": (
        "308(a)(1)(ii)(A) 308(a)(1)(ii)(B) 308(a)(1)(ii)(C) 308(a)(1)(ii)(D) 308(a)(2) 308(a)(4)(ii)(A) 308(a)(6)(ii) "
        "308(a)(7)(ii)(A) 308(a)(7)(ii)(B) 308(a)(7)(ii)(C) 308(a)(8) 308(b)(3) 310(b) 310(c) 310(d)(2)(i) "
        "310(d)(2)(ii) 312(a)(2)(i) 312(a)(2)(ii) 312(b) 312(d) 314(a)(2)(i) 314(a)(2)(ii) 314(a)(2)(iii) 314(b)(2) "
        "316(a) 316(b)(2)(i) 316(b)(2)(ii) 316(b)(2)(iii)"
    ),
    "addressable": (
        "308(a)(3)(ii)(A) 308(a)(3)(ii)(B) 308(a)(3)(ii)(C) 308(a)(4)(ii)(B) 308(a)(4)(ii)(C) 308(a)(5)(ii)(A) "
        "308(a)(5)(ii)(B) 308(a)(5)(ii)(C) 308(a)(5)(ii)(D) 308(a)(7)(ii)(D) 308(a)(7)(ii)(E) 310(a)(2)(i) "
        "310(a)(2)(ii) 310(a)(2)(iii) 310(a)(2)(iv) 310(d)(2)(iii) 310(d)(2)(iv) 312(a)(2)(iii) 312(a)(2)(iv) "
        "312(c)(2) 312(e)(2)(i) 312(e)(2)(ii)"
    ),
}

SOX_KINDS = {  # sections of the Act; COSO principle numbers
    "GOV-01": "SOX 302, 404; COSO 3, 5",
    "GOV-02": "SOX 302, 404; COSO 7, 8",
    "AC-01": "SOX 404; COSO 11",
    "AC-02": "SOX 404; COSO 11",
    "AC-03": "SOX 404; COSO 10, 11",
    "AC-04": "SOX 404; COSO 11",
    "CM-01": "SOX 404; COSO 12",
    "CM-02": "SOX 404; COSO 12",
    "CM-03": "SOX 404; COSO 12",
    "CM-04": "SOX 404; COSO 12",
    "OP-01": "SOX 404; COSO 11, 13",
    "OP-02": "SOX 404; COSO 3, 5",
    "OP-03": "SOX 404; COSO 11",
    "OP-04": "SOX 404; COSO 16, 17",
    "OP-05": "SOX 404; COSO 16",
    "MON-01": "SOX 302, 404; COSO 16",
    "MON-02": "SOX 404; COSO 13",
    "MON-03": "SOX 302, 404; COSO 17",
    "SEC-01": "SOX 404; COSO 11",
    "SEC-02": "SOX 404; COSO 11",
    "FIN-01": "SOX 404; COSO 10, 16",
    "FIN-02": "SOX 404; COSO 10",
    "FIN-03": "SOX 302, 404; COSO 13",
    "FIN-04": "SOX 404; COSO 16",
    "FIN-05": "SOX 302, 404; COSO 13",
}

NIST_MODERATE = {  # SP 800-53B
    "AC": (
        "1 2 2(1) 2(2) 2(3) 2(4) 2(5) 2(13) 3 4 5 6 6(1) 6(2) 6(5) 6(7) 6(9) 6(10) 7 8 11 11(1) 12 14 17 17(1) "
        "17(2) 17(3) 17(4) 18 18(1) 18(3) 19 19(5) 20 20(1) 20(2) 21 22"
    ),
    "AT": "1 2 2(2) 2(3) 3 4",
    "AU": "1 2 3 3(1) 4 5 6 6(1) 6(3) 7 7(1) 8 9 9(4) 11 12",
    "CA": "1 2 2(1) 3 5 6 7 7(1) 7(4) 9",
    "CM": "1 2 2(2) 2(3) 2(7) 3 3(2) 3(4) 4 4(2) 5 6 7 7(1) 7(2) 7(5) 8 8(1) 8(3) 9 10 11 12 12(1)",
    "CP": "1 2 2(1) 2(3) 2(8) 3 4 4(1) 6 6(1) 6(3) 7 7(1) 7(2) 7(3) 8 8(1) 8(2) 9 9(1) 9(8) 10 10(2)",
    "IA": "1 2 2(1) 2(2) 2(8) 2(12) 3 4 4(4) 5 5(1) 5(2) 5(6) 6 7 8 8(1) 8(2) 8(4) 11 12 12(2) 12(3) 12(5)",
    "IR": "1 2 3 3(2) 4 4(1) 5 6 6(1) 6(3) 7 7(1) 8",
    "MA": "1 2 3 3(1) 3(2) 3(3) 4 5 6",
    "MP": "1 2 3 4 5 6 7",
    "PE": "1 2 3 4 5 6 6(1) 8 9 10 11 12 13 13(1) 14 15 16 17",
    "PL": "1 2 4 4(1) 8 10 11",
    "PS": "1 2 3 4 5 6 7 8 9",
    "RA": "1 2 3 3(1) 5 5(2) 5(5) 5(11) 7 9",
    "SA": "1 2 3 4 4(1) 4(2) 4(9) 4(10) 5 8 9 9(2) 10 11 15 15(3) 22",
    "SC": "1 2 4 5 7 7(3) 7(4) 7(5) 7(7) 7(8) 8 8(1) 10 12 13 15 17 18 20 21 22 23 28 28(1) 39",
    "SI": "1 2 2(2) 3 4 4(2) 4(4) 4(5) 5 7 7(1) 7(7) 8 8(2) 10 11 12 16",
    "SR": "1 2 2(1) 3 5 6 8 10 11 11(1) 11(2) 12",
}

EXPECTED_IDS = {  # in the framework's own order
    HIPAA: sorted(f"164.{number}" for numbers in HIPAA_KINDS.values() for number in numbers.split()),
    SOX: list(SOX_KINDS),
    NIST: [f"{family}-{number}" for family, numbers in NIST_MODERATE.items() for number in numbers.split()],
}

CLAIMS = {  # the strongest claim on each control that any policy reaches; to change one is to review it
    HIPAA: {
        "164.308(a)(1)(ii)(B)": "supporting",
        "164.308(a)(1)(ii)(D)": "supporting",
        "164.310(d)(2)(i)": "supporting",
        "164.310(d)(2)(iii)": "partial",
        "164.312(b)": "supporting",
    },
    SOX: {
        "OP-02": "direct",
        "OP-03": "partial",
        "FIN-01": "partial",
        "FIN-02": "partial",
        "FIN-03": "partial",
        "FIN-04": "supporting",
    },
    NIST: {"AU-11": "partial", "CM-8": "partial", "MP-6": "supporting", "SI-4": "supporting", "SI-12": "partial"},
}

CEILING = {  # the strongest claim a pack may make in a framework; a pack left out may claim nothing there
    HIPAA: {"required-tags": "partial", "idle-resources": "supporting", "budget-guardrails": "supporting"},
    SOX: {
        "required-tags": "direct",
        "idle-resources": "partial",
        "oversized-instances": "partial",
        "budget-guardrails": "partial",
    },
    NIST: {"required-tags": "partial", "idle-resources": "partial", "budget-guardrails": "supporting"},
}

CONFIGURATION_TESTS_MISSING = {  # neither mapped nor for a person to attest: the evidence would be a test we lack
    HIPAA: {
        "164.312(a)(1)",
        "164.312(a)(2)(i)",
        "164.312(a)(2)(iii)",
        "164.312(a)(2)(iv)",
        "164.312(c)(2)",
        "164.312(d)",
        "164.312(e)(1)",
        "164.312(e)(2)(i)",
        "164.312(e)(2)(ii)",
    },
    SOX: {"OP-01", "SEC-01", "SEC-02"},
}

STRENGTHS = ("supporting", "partial", "direct")

Json = dict[str, Any]


def text_of(name: str) -> str:
    return library_root().joinpath("policies", "frameworks", f"{name}.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def frameworks() -> dict[str, Json]:
    return {name: yaml.safe_load(text_of(name)) for name in FRAMEWORKS}


def mappings(framework: Json) -> list[tuple[str, Json]]:
    return [(control["id"], mapping) for control in framework["controls"] for mapping in control.get("mappings", [])]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_matches_the_schema(name: str, frameworks: dict[str, Json]) -> None:
    schema = json.loads(library_root().joinpath("schemas", "framework.schema.json").read_text(encoding="utf-8"))
    errors = [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(frameworks[name])
    ]
    assert errors == []
    assert frameworks[name]["name"] == name
    assert frameworks[name]["source"]["url"].startswith("https://")
    assert text_of(name).startswith("# yaml-language-server: $schema=../../schemas/framework.schema.json\n")


@pytest.mark.parametrize(("name", "count"), [(HIPAA, 65), (SOX, 25), (NIST, 287)])
def test_every_control_is_listed_once_in_order(name: str, count: int, frameworks: dict[str, Json]) -> None:
    listed = [control["id"] for control in frameworks[name]["controls"]]
    assert listed == EXPECTED_IDS[name]
    assert len(listed) == count


def test_only_the_baseline_without_fedramps_additions_is_called_incomplete(frameworks: dict[str, Json]) -> None:
    assert {name: frameworks[name]["complete"] for name in FRAMEWORKS} == {HIPAA: True, SOX: True, NIST: False}
    assert "NIST SP 800-53" in frameworks[NIST]["title"]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_controls_stand_in_the_order_of_their_groups(name: str, frameworks: dict[str, Json]) -> None:
    groups = list(frameworks[name]["groups"])
    used = [control["group"] for control in frameworks[name]["controls"]]
    assert used == sorted(used, key=groups.index)
    assert set(used) == set(groups)


def test_hipaa_kinds(frameworks: dict[str, Json]) -> None:
    kinds = {control["id"]: control["kind"] for control in frameworks[HIPAA]["controls"]}
    assert kinds == {f"164.{i}": kind for kind, identifiers in HIPAA_KINDS.items() for i in identifiers.split()}


def test_hipaa_safeguards_agree_with_the_matrix_of_appendix_a(frameworks: dict[str, Json]) -> None:
    """Appendix A to Subpart C marks 20 entries of the three safeguard sections (R) and 22 (A)."""
    safeguards = ("administrative", "physical", "technical")
    kinds = Counter(control["kind"] for control in frameworks[HIPAA]["controls"] if control["group"] in safeguards)
    assert (kinds["required"], kinds["addressable"]) == (20, 22)


def test_hipaa_groups_follow_the_sections(frameworks: dict[str, Json]) -> None:
    sections = {(control["group"], control["id"][:7]) for control in frameworks[HIPAA]["controls"]}
    assert sections == {
        ("administrative", "164.308"),
        ("physical", "164.310"),
        ("technical", "164.312"),
        ("organizational", "164.314"),
        ("documentation", "164.316"),
    }


def test_sox_controls_name_their_sections_and_principles(frameworks: dict[str, Json]) -> None:
    assert {control["id"]: control["kind"] for control in frameworks[SOX]["controls"]} == SOX_KINDS


def test_nist_groups_are_families(frameworks: dict[str, Json]) -> None:
    assert list(frameworks[NIST]["groups"]) == list(NIST_MODERATE)
    assert all(control["id"].split("-")[0] == control["group"] for control in frameworks[NIST]["controls"])


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_mapped_policies_exist(name: str, frameworks: dict[str, Json]) -> None:
    packs = library_root().joinpath("policies", "packs")
    mapped = {mapping["policy"] for _, mapping in mappings(frameworks[name])}
    assert {policy for policy in mapped if not packs.joinpath(*f"{policy}.yaml".split("/")).is_file()} == set()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_claims_are_the_reviewed_ones(name: str, frameworks: dict[str, Json]) -> None:
    strongest: dict[str, str] = {}
    for control, mapping in mappings(frameworks[name]):
        strongest[control] = max(strongest.get(control, STRENGTHS[0]), mapping["strength"], key=STRENGTHS.index)
    assert strongest == CLAIMS[name]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_no_pack_claims_more_than_it_can_show(name: str, frameworks: dict[str, Json]) -> None:
    for control, mapping in mappings(frameworks[name]):
        pack = mapping["policy"].split("/")[0]
        assert pack in CEILING[name], f"{control}: {pack} has nothing to say in {name}"
        assert STRENGTHS.index(mapping["strength"]) <= STRENGTHS.index(CEILING[name][pack]), f"{control}: {mapping}"


def test_the_only_direct_claim_is_the_control_worded_as_its_policies_test(frameworks: dict[str, Json]) -> None:
    direct = {
        (control, mapping["policy"])
        for name in FRAMEWORKS
        for control, mapping in mappings(frameworks[name])
        if mapping["strength"] == "direct"
    }
    tagged = ("ec2", "ebs", "rds", "s3", "lambda", "dynamodb-table")
    assert direct == {("OP-02", f"required-tags/{resource}-required-tags") for resource in tagged}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_rationales_are_single_sentences_of_their_own(name: str, frameworks: dict[str, Json]) -> None:
    rationales = Counter(mapping["rationale"] for _, mapping in mappings(frameworks[name]))
    assert [text for text, times in rationales.items() if times > 1] == []
    assert [text for text in rationales if not text.endswith(".") or ". " in text or "\n" in text] == []


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_control_names_a_policy_once(name: str, frameworks: dict[str, Json]) -> None:
    pairs = Counter((control, mapping["policy"]) for control, mapping in mappings(frameworks[name]))
    assert [pair for pair, times in pairs.items() if times > 1] == []


@pytest.mark.parametrize("name", [HIPAA, SOX])
def test_what_no_policy_reaches_is_for_a_person_or_deliberately_not_assessed(
    name: str, frameworks: dict[str, Json]
) -> None:
    neither = {c["id"] for c in frameworks[name]["controls"] if not c.get("mappings") and "manual" not in c}
    assert neither == CONFIGURATION_TESTS_MISSING[name]


def test_nist_controls_on_people_places_and_documents_are_for_a_person(frameworks: dict[str, Json]) -> None:
    silent = {c["id"] for c in frameworks[NIST]["controls"] if "manual" not in c}
    attested = ("AT-", "PE-", "PL-", "PS-")
    assert {control for control in silent if control.startswith(attested) or control.endswith("-1")} == set()
    assert len(silent) == 183


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_partly_reached_controls_say_what_is_left_to_attest(name: str, frameworks: dict[str, Json]) -> None:
    mapped_only = {c["id"] for c in frameworks[name]["controls"] if c.get("mappings") and "manual" not in c}
    assert mapped_only == {control for control, strength in CLAIMS[name].items() if strength == "direct"}
