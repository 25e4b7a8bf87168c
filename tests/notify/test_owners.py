"""From a tag to an address: nothing but the map and plain addresses of trusted domains is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_policy.channels import Owners
from finops_policy.notify.owners import owner_of, plain_address, required_tag
from tests.notify.kit import HOSTILE, PROD
from tests.unit.builders import settings

DOMAINS = frozenset({"acme.example"})
OWNERS = Owners(
    map={"clinical-*": "clinic@acme.example", "*": "nobody@acme.example"},
    domains=DOMAINS,
    contacts={PROD: "prod@acme.example"},
    fallback="finops@acme.example",
)
WITHOUT_MAP = Owners(domains=DOMAINS, contacts={PROD: "prod@acme.example"}, fallback="finops@acme.example")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ann@acme.example", "ann@acme.example"),
        (" Ann.B+x@ACME.example ", "Ann.B+x@acme.example"),
        ("ann@sub.acme.example", ""),
        ("ann@evil.example", ""),
        ("ann@acme.example.evil.example", ""),
        ("ann@acme.example,eve@evil.example", ""),
        ("Ann <ann@acme.example>", ""),
        ("ann@acme.example\nBcc: eve@evil.example", ""),
        ("ann@acme.example\n", ""),
        ('"a b"@acme.example', ""),
        ("ann@@acme.example", ""),
        (".ann@acme.example", ""),
        ("ann@аcme.example", ""),
        ("a" * 65 + "@acme.example", ""),
        ("", ""),
    ],
)
def test_only_a_plain_address_of_a_trusted_domain_is_one(text: str, address: str) -> None:
    assert plain_address(text, DOMAINS) == address


@given(st.text(max_size=40), st.sampled_from(["@acme.example", "@evil.example", "\n@acme.example", ""]))
def test_whatever_a_tag_holds_the_address_is_trusted_and_on_one_line(text: str, end: str) -> None:
    found = owner_of({"Owner": text + end}, PROD, WITHOUT_MAP, "Owner")
    assert found.address.isascii()
    assert found.address.isprintable()
    assert not set(found.address) & set(' ,;<>"()\r\n:')
    assert found.address.count("@") == 1
    assert found.address.endswith("@acme.example")
    assert found.tag == text + end


def test_the_map_comes_first_then_the_contact_then_the_fallback() -> None:
    assert owner_of({"Owner": "clinical-apps"}, PROD, OWNERS, "Owner").address == "clinic@acme.example"
    assert owner_of({"Owner": "eve@evil.example"}, PROD, OWNERS, "Owner").address == "nobody@acme.example"
    assert owner_of({"Owner": "eve@evil.example"}, PROD, WITHOUT_MAP, "Owner").address == "prod@acme.example"
    assert owner_of({}, "444455556666", WITHOUT_MAP, "Owner").route == "fallback"
    assert owner_of({"Owner": "  "}, PROD, OWNERS, "Owner").route == "contact of the account"
    assert owner_of({"owner": "ann@acme.example"}, PROD, WITHOUT_MAP, "Owner").route == "contact of the account"


@pytest.mark.parametrize("text", HOSTILE)
def test_who_has_no_address_is_told_why(text: str) -> None:
    found = owner_of({"Owner": text}, PROD, Owners(domains=DOMAINS), "Owner")
    assert found.address == ""
    assert found.route.startswith("its owner tag is no address that may be used")
    assert owner_of({}, PROD, Owners(), "Owner").route.startswith("it has no owner tag")


def test_the_required_tag_is_that_of_the_first_layer_that_says() -> None:
    profile = settings("profile", required_tags={"owner_key": "tag:Team"})
    own = settings("customer", required_tags={"owner_key": "tag:Squad"})
    assert required_tag({}, {}) == "Owner"
    assert required_tag({}, profile) == "Team"
    assert required_tag(own, profile) == "Squad"
