"""How often few data are gone over."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar

LEAST_STEPS = 500
"""Of an optimiser, before a network with attention says anything of use."""


class _Settings(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def epochs(self) -> int: ...
    @property
    def patience(self) -> int: ...


SettingsT = TypeVar("SettingsT", bound=_Settings)


def fitted(settings: SettingsT, batches_per_epoch: int, given: Mapping[str, Any]) -> SettingsT:
    """The settings with as many epochs as ``LEAST_STEPS`` take, and patience to match.

    Settings that are ``given`` by name, and epochs that are enough, stay as they are.
    """
    epochs = -(-LEAST_STEPS // batches_per_epoch)
    if given.get("epochs") is not None or epochs <= settings.epochs:
        return settings
    patience = settings.patience
    if given.get("patience") is None:
        patience = -(-patience * epochs // settings.epochs)
    return dataclasses.replace(settings, epochs=epochs, patience=patience)
