from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from finops_policy.evidence.signing import SigningKey
from tests.notify.kit import Receiver, Store, receiver


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    key, _ = SigningKey.load_or_create(tmp_path_factory.mktemp("key") / "signing.pem")
    return key


@pytest.fixture
def store(tmp_path: Path, signing_key: SigningKey) -> Store:
    return Store(tmp_path / "store", signing_key)


@pytest.fixture
def http() -> Iterator[Receiver]:
    with receiver() as running:
        yield running
