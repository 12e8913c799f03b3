"""Settings that bound requests, queues and sockets: one for each limit, and for each limit of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import create_model
from pydantic_settings import BaseSettings, SettingsConfigDict

from app import registered
from app.core.limits import Limits


class GeneralLimitSettings(Limits, BaseSettings):
    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(frozen=True)


if TYPE_CHECKING:
    LimitSettings = GeneralLimitSettings
else:
    _fields: dict[str, Any] = {
        name: (field.annotation, field)
        for task in registered.TASKS
        for name, field in task.limits.model_fields.items()
    }
    # And one for each limit of a registered task.
    LimitSettings = create_model("LimitSettings", __base__=GeneralLimitSettings, **_fields)
