"""The models folder becomes deployments, or an error that names the bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bundle.reader import version_key
from app.core.errors import BundleError, ConfigurationError, InvalidManifest
from app.core.limits import Limits
from app.registered import TASKS
from app.registry.loading import load_bundle
from app.registry.registry import ModelRegistry
from app.registry.verification import measure
from app.settings import load_settings
from app.tasks.task import Tasks
from app.telemetry.metrics import Metrics
from tests.bundles import tiny_classifier, tiny_generator


def opened(
    folder: Path,
    *,
    skip_bad: bool = False,
    preferred: dict[str, str] | None = None,
    chosen: bool = False,
) -> ModelRegistry:
    """The registry of a folder, its engines not started."""
    defaults = ",".join(f"{task}={name}" for task, name in (preferred or {}).items())
    settings = load_settings(models=str(folder), skip_bad_models=skip_bad, default=defaults)
    if not chosen:
        settings.model_fields_set.discard("default")
    registry = ModelRegistry(
        settings,
        lambda path: load_bundle(path, "cpu", Limits(), Tasks(TASKS), lambda name: lambda stats: None),
        Metrics(),
    )
    registry.open()
    return registry


def references(registry: ModelRegistry) -> list[str]:
    """In order."""
    return list(registry.served.catalog.deployments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two names; three versions of one."""
    tiny_classifier(tmp_path, name="mood")
    for version in ("10", "2", "1"):
        tiny_generator(tmp_path, name="text", version=version)
    return tmp_path


def test_versions_come_in_the_order_people_count(folder: Path) -> None:
    """2 before 10, so the last is the newest."""
    assert references(opened(folder)) == ["mood@1", "text@1", "text@2", "text@10"]


@given(
    st.lists(st.integers(0, 999), min_size=2, max_size=4),
    st.lists(st.integers(0, 999), min_size=2, max_size=4),
)
def test_dotted_versions_order_like_their_numbers(first: list[int], second: list[int]) -> None:
    """Part by part."""
    as_text = [".".join(map(str, one)) for one in (first, second)]
    assert (version_key(as_text[0]) < version_key(as_text[1])) == (first < second)


def test_defaults_are_the_preferred_name_or_the_first(folder: Path) -> None:
    """A name alone is its newest version; a version can be pinned; an absent name is passed over."""
    tiny_generator(folder, name="aardvark")

    def defaults(**preferred: str) -> dict[str, str]:
        return dict(opened(folder, preferred=preferred).served.catalog.defaults)

    assert defaults() == {"generate": "aardvark@1", "sentiment": "mood@1"}
    assert defaults(generate="text")["generate"] == "text@10"
    assert defaults(generate="text@2")["generate"] == "text@2"
    assert defaults(generate="nobody")["generate"] == "aardvark@1"
    assert defaults(generate="mood")["generate"] == "aardvark@1"


@pytest.mark.parametrize(
    ("task", "wanted", "served"),
    [
        ("generate", "nobody", "text"),
        ("generate", "mood", "text"),
        ("generate", "text@3", "text"),
        ("forecast", "text", "none"),
    ],
)
def test_a_default_that_was_chosen_must_be_there(folder: Path, task: str, wanted: str, served: str) -> None:
    """A mistake in it would send requests to another model."""
    with pytest.raises(ConfigurationError, match=f"{task}={wanted}: no such model .* served: {served}$"):
        opened(folder, preferred={task: wanted}, chosen=True)
    opened(folder, preferred={task: wanted})


def test_a_chosen_default_may_be_bad_where_bad_bundles_are_passed_over(folder: Path) -> None:
    """It may be mended."""
    (folder / "mood" / "1" / "model.onnx").unlink()
    registry = opened(folder, skip_bad=True, preferred={"sentiment": "mood"}, chosen=True)
    assert references(registry)[0] == "text@1"


def test_an_empty_folder_and_no_folder_are_named(tmp_path: Path) -> None:
    """Each with what to do."""
    with pytest.raises(ConfigurationError, match="holds no bundle"):
        opened(tmp_path)
    with pytest.raises(BundleError, match="does not exist"):
        opened(tmp_path / "nowhere")


def test_a_bundle_in_the_wrong_place_is_refused(folder: Path) -> None:
    """Its manifest and its path must agree, or two bundles could answer to one name."""
    shutil.copytree(folder / "text" / "1", folder / "text" / "3")
    with pytest.raises(InvalidManifest, match="bundle text/3: its manifest says text@1"):
        opened(folder)


def test_a_tokenizer_with_more_tokens_than_the_network_is_refused(folder: Path) -> None:
    """It would send the network ids it has no row for."""
    path = folder / "mood" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["spec"]["vocabulary"] -= 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(InvalidManifest, match="bundle mood/1: its tokenizer has"):
        opened(folder)


def test_bad_bundles_can_be_passed_over_and_are_reported(folder: Path) -> None:
    """The rest is served."""
    (folder / "text" / "10" / "model.onnx").unlink()
    registry = opened(folder, skip_bad=True)
    assert references(registry) == ["mood@1", "text@1", "text@2"]
    (bad,) = [one for one in registry.index() if one.status != "ready"]
    assert (bad.reference, bad.status) == ("text@10", "broken")
    assert bad.reason == "its files are not complete"


def test_a_measure_is_a_bundles_parity_or_an_error(folder: Path) -> None:
    """Each bundle is measured on its own."""
    (folder / "text" / "2" / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match="sha256"):
        measure(folder / "text" / "2")
    for version in ("1", "10"):
        manifest, difference = measure(folder / "text" / version)
        assert manifest.reference == f"text@{version}"
        assert 0 <= difference < 1e-4
