"""Settings of the models: where they lie, which are served, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from app import registered

REMOTE_SCHEMES = ("s3", "https", "http", "hf")


class ModelSettings(BaseSettings):
    models: str = Field(
        "models",
        repr=False,
        description="where bundles lie, NAME/VERSION/ below each place: folders, s3://BUCKET/PREFIX, "
        "https://HOST/PATH, hf://OWNER/REPOSITORY, by commas or given several times; the first place "
        "that has a version counts",
    )
    default: str = Field(
        ",".join(f"{task.name}={task.default_model}" for task in registered.TASKS),
        description="model that answers a task's requests which name none, TASK=NAME, TASK=NAME@VERSION or "
        "TASK=NAME@LABEL, by commas; a task whose name here is not served falls to the first served name "
        "in alphabetical order",
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="where the graphs run; cuda needs onnxruntime-gpu"
    )
    skip_bad_models: bool = Field(
        False, description="serve the good bundles when some fail verification, instead of refusing to start"
    )
    load: Literal["all", "on-demand"] = Field(
        "all",
        description="all verifies and loads each bundle at the start; on-demand reads its manifest then, and "
        "loads it when a request needs it",
    )
    preload: str = Field(
        "", description="models that are loaded at the start all the same, NAME or NAME@VERSION, by commas"
    )
    models_memory_bytes: int = Field(
        2 * 2**30,
        ge=2**20,
        le=2**50,
        description="memory that models loaded on demand may take together in one process, about; the least "
        "recently used one without running work makes room",
    )
    metrics_models: int = Field(
        100,
        ge=1,
        le=100_000,
        description="models loaded on demand that have metrics of their own in one process, those that are "
        "used first; the others share the label `other`",
    )
    models_poll_s: float = Field(
        2.0,
        ge=0,
        le=86_400,
        description="seconds between looks for new, changed and removed bundles; 0 looks only on SIGHUP and "
        "when an administrator asks",
    )
    models_refresh_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="seconds between looks at places on the network; 0 looks only on SIGHUP and when an "
        "administrator asks",
    )
    models_cache: Path = Field(
        Path("models-cache"), description="folder into which bundles of other places are copied"
    )
    keep_versions: int = Field(
        0,
        ge=0,
        le=10_000,
        description="newest versions of each model that are served, beside those with a label; 0 serves all",
    )
    model_drain_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="seconds that running work may take on a version that was removed or replaced",
    )
    max_bundle_bytes: int = Field(
        4 * 2**30, ge=1, le=2**50, description="largest bundle that is copied from elsewhere"
    )
    fetch_timeout_s: float = Field(
        600.0, gt=0, le=86_400, description="seconds that copying one bundle from elsewhere may take"
    )

    @field_validator("models", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return ",".join(str(item) for item in value)
        return str(value) if isinstance(value, Path) else value

    @field_validator("models", "default")
    @classmethod
    def _parse(cls, value: str, info: ValidationInfo) -> str:
        (parse_locations if info.field_name == "models" else parse_defaults)(value)
        return value

    @property
    def default_models(self) -> dict[str, str]:
        """Task to the ``name``, ``name@version`` or ``name@label`` that serves it by default."""
        usual = {task.name: task.default_model for task in registered.TASKS}
        return usual | parse_defaults(self.default)

    @property
    def preloaded(self) -> frozenset[str]:
        return frozenset(filter(None, (part.strip() for part in self.preload.split(","))))

    @property
    def chosen_models(self) -> dict[str, str]:
        """Those of :attr:`default_models` that the settings name: a mistake in one of them is an error."""
        return parse_defaults(self.default) if "default" in self.model_fields_set else {}

    @property
    def model_folders(self) -> tuple[Path, ...]:
        return tuple(Path(item) for item in parse_locations(self.models) if "://" not in item)

    @property
    def remote_models(self) -> tuple[str, ...]:
        return tuple(item for item in parse_locations(self.models) if "://" in item)


def parse_locations(value: str) -> tuple[str, ...]:
    """Read locations of bundles, by commas.

    Raises:
        ValueError: there is none, or an address is of another kind or holds a password.
    """
    locations = tuple(filter(None, (part.strip() for part in value.split(","))))
    if not locations:
        raise ValueError("name at least one place of bundles")
    for location in locations:
        scheme, separator, _ = location.partition("://")
        if not separator:
            continue
        if scheme not in REMOTE_SCHEMES:
            raise ValueError(f"{scheme}:// is not read here; allowed: {', '.join(REMOTE_SCHEMES)}")
        if "@" in urlsplit(location).netloc:
            raise ValueError(
                "an address holds no password; set the variables of the place, such as AWS_* or HF_TOKEN"
            )
        if not urlsplit(location).netloc:
            raise ValueError(f"{scheme}:// needs a host, a bucket or an owner behind it")
    return locations


def parse_defaults(value: str) -> dict[str, str]:
    """Read ``task=name,task=name@version``.

    Raises:
        ValueError: an item is not of that form, or its task is unknown or named twice.
    """
    tasks = sorted(task.name for task in registered.TASKS)
    chosen: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        task, equals, name = (part.strip() for part in item.partition("="))
        if not equals or not name or task not in tasks:
            raise ValueError(f"{item!r} is not TASK=NAME with TASK one of {', '.join(tasks)}")
        if task in chosen:
            raise ValueError(f"the task {task!r} is named twice")
        chosen[task] = name
    return chosen
