"""All settings as one frozen value, put together from the groups in this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import create_model
from pydantic_settings import SettingsConfigDict

from app import registered
from app.core.limits import Limits
from app.sessions.limits import SessionLimits
from app.settings.access import AccessSettings
from app.settings.models import ModelSettings
from app.settings.server import ServerSettings
from app.settings.sessions import StoreSettings
from app.tasks.task import Tasks

ENV_PREFIX = "RNNSERVE_"


if TYPE_CHECKING:
    LimitSettings = Limits
else:
    _fields: dict[str, Any] = {
        name: (field.annotation, field)
        for task in registered.TASKS
        for name, field in task.limits.model_fields.items()
    }
    LimitSettings = create_model("LimitSettings", __base__=Limits, **_fields)


# The groups stand in reverse: pydantic collects the fields of the last base first.
class Settings(LimitSettings, SessionLimits, StoreSettings, AccessSettings, ModelSettings, ServerSettings):
    """All settings. Each field's description is also its ``--help`` text and its line in the docs."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, env_file=None
    )

    @property
    def limits(self) -> Limits:
        return Limits(**{name: getattr(self, name) for name in Limits.model_fields})

    @property
    def tasks(self) -> Tasks:
        limits = {
            task.name: task.limits(**{name: getattr(self, name) for name in task.limits.model_fields})
            for task in registered.TASKS
        }
        return Tasks(registered.TASKS, limits)

    @property
    def session_limits(self) -> SessionLimits:
        return SessionLimits(**{name: getattr(self, name) for name in SessionLimits.model_fields})

    @property
    def session_store(self) -> str | None:
        """The address of the session store, or ``None`` when sessions are off. May hold a password."""
        if self.sessions == "off":
            return None
        return f"lmdb:{self.state_dir}" if self.sessions in ("lmdb", "lmdb:") else self.sessions
