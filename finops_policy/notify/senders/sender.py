"""What a channel is: it packs a digest, which is pure, and sends what it packed."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from finops_policy.notify.model import Digest, Parcel, Texts


class Sender(Protocol):
    """``pack`` needs no secret and no network, so that a dry run shows what would be sent. ``send`` answers with what
    the receiver calls it, and raises :class:`TryAgainError` or :class:`RefusedError`."""

    def pack(self, digest: Digest, texts: Texts, now: dt.datetime) -> Parcel: ...

    def send(self, parcel: Parcel) -> str: ...
