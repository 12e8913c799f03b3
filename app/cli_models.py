"""``rnnserve models``; a running server notices what these commands change by itself."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Context, Exit, Option, Typer, echo

from app.bundle.reader import find_bundles, read_manifest
from app.cli_import import import_onnx
from app.core.errors import BundleError, ConfigurationError, InvalidManifest
from app.main import open_sources, remote_places
from app.registry.install import Installed, install, read_head
from app.registry.labels import changing, read_labels, write_labels
from app.registry.origin import Budget, Origin, local_origin
from app.registry.verification import check_whole, measure, verify
from app.service.catalog import Label
from app.settings import Settings, load_settings

models_cli = Typer(
    name="models", help="Bundles: list and verify, fetch, add, label, pull.", invoke_without_command=True
)

Places = Annotated[
    list[str] | None,
    Option("--models", help="places of bundles, NAME/VERSION/ below each; may be given several times"),
]
OnDevice = Annotated[Literal["cpu", "cuda"] | None, Option("--device", help="where graphs are replayed")]


@models_cli.callback()
def inspect_all(context: Context, models: Places = None, device: OnDevice = None) -> None:
    """List the bundles and verify each: sums, graph and golden vectors."""
    if context.invoked_subcommand is not None:
        # What was given before the command's name holds for the command.
        context.default_map = {context.invoked_subcommand: {"models": models, "device": device}}
        return
    settings = load_settings(models=models or None, device=device)
    paths = _bundles(settings)
    bad = 0
    for path in paths:
        reference = f"{path.parent.name}@{path.name}"
        try:
            manifest, difference = measure(path, settings.device)
        except BundleError as error:
            bad += 1
            echo(f"BAD  {reference:<28} {error.message}")
        else:
            network = manifest.network
            echo(
                f"ok   {reference:<28} {manifest.task:<10} {network.cell:<5} "
                f"{network.parameters:>10,} parameters  parity {difference:.1e}"
            )
    places = ", ".join(map(str, settings.model_folders))
    echo(f"{len(paths)} bundles in {places}, {len(paths) - bad} good, {bad} bad")
    if bad:
        raise Exit(1)


@models_cli.command("list")
def list_models(
    models: Places = None,
    as_json: Annotated[bool, Option("--json", help="a JSON document instead of lines")] = False,
) -> None:
    """List the bundles and their labels; reads the manifests, and verifies nothing."""
    rows = list(map(_row, _bundles(load_settings(models=models or None))))
    if as_json:
        echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        shares = row["labels"].items()
        labels = (f"{label} {100 * share:.4g} %" if share else label for label, share in shares)
        described = row["error"] or f"{row['task']:<10} {row['cell']:<5} {'  '.join(labels)}"
        echo(f"{row['name']}@{row['version']}".ljust(28) + f" {described}".rstrip())


@models_cli.command("verify")
def verify_bundle(
    target: Annotated[str, Argument(help="folder of a bundle, NAME, or NAME@VERSION")],
    models: Places = None,
    device: OnDevice = None,
) -> None:
    """Check bundles in every way there is; fails when one is bad."""
    settings = load_settings(models=models or None, device=device)
    bad = 0
    for path in _targets(target, settings):
        echo(path)
        for check in verify(path, settings.tasks, settings.device):
            echo(f"  {check.verdict:<4} {check.subject:<12} {check.text}")
            bad += check.verdict == "BAD"  # the last one, if any
    if bad:
        echo(f"{bad} bad")
        raise Exit(1)
    echo("good")


@models_cli.command("add")
def add_bundle(
    source: Annotated[
        str, Argument(help="a bundle: folder, zip or tar file, or address (https://, s3://, hf://)")
    ],
    models: Places = None,
    device: OnDevice = None,
    replace: Annotated[bool, Option(help="replace a bundle of the same version")] = False,
    sha256: Annotated[str | None, Option(help="refuse the bundle unless its manifest has this sum")] = None,
) -> None:
    """Copy a bundle into the first models folder: verified whole, then visible at once."""
    settings = load_settings(models=models or None, device=device)
    _tell(_add(source, sha256, replace, settings), "added")


@models_cli.command("fetch")
def fetch_shipped(
    names: Annotated[list[str] | None, Argument(help="of models; left out, all of them")] = None,
    places: Annotated[
        list[str] | None,
        Option(
            "--from",
            help="folder or address (https://, s3://, hf://) with NAME/VERSION below; may be given several "
            "times, the first that has a bundle counts",
        ),
    ] = None,
    models: Places = None,
    device: OnDevice = None,
) -> None:
    """Copy the models that this release ships with, whose sums it knows, into the first models folder."""
    shipped: dict[str, str] = json.loads(files("app").joinpath("shipped.json").read_text())
    known = sorted({path.partition("/")[0] for path in shipped})
    for name in names or ():
        if name not in known:
            raise ConfigurationError(f"this release has no model {name!r}; it has {', '.join(known)}")
    if not places:
        raise ConfigurationError(
            "say with --from where the models lie; they have no public address yet. In a checkout, or in the "
            "archive of its source, they are the folder models"
        )
    settings = load_settings(models=models or None, device=device)
    for path, sha256 in shipped.items():
        if not names or path.partition("/")[0] in names:
            _tell(_first(path, sha256, places, settings), "fetched")
    echo(f"serve them: rnnserve serve --models {settings.model_folders[0]}")


models_cli.command("import")(import_onnx)


@models_cli.command("label")
def label_version(
    name: Annotated[str, Argument(help="of the model")],
    version: Annotated[str, Argument(help="that gets the label")],
    label: Annotated[str, Argument(help="stable, canary, or any name")],
    share: Annotated[
        str, Option(help="of the requests that name the model but no version: 5% or 0.05")
    ] = "0",
    models: Places = None,
) -> None:
    """Give a label to a version; the version that had it loses it."""
    settings = load_settings(models=models or None)
    folder, versions = _model(name, settings)
    if version not in versions:
        raise ConfigurationError(f"{name} has no version {version!r}; it has {', '.join(versions)}")
    if label in versions:
        raise ConfigurationError(f"{label!r} is a version of {name}, so it cannot be a label")
    with changing(folder):
        labels = read_labels(folder)
        labels[label] = Label(version, _share(share))
        write_labels(folder, labels)
    echo(f"{name}@{label} is {name}@{version}" + (f", share {share}" if labels[label].share else ""))


@models_cli.command("unlabel")
def remove_label(
    name: Annotated[str, Argument(help="of the model")],
    label: Annotated[str, Argument(help="that goes")],
    models: Places = None,
) -> None:
    """Take a label away."""
    folder, _ = _model(name, load_settings(models=models or None))
    with changing(folder):
        labels = read_labels(folder)
        if label not in labels:
            raise ConfigurationError(f"{name} has no label {label!r}; it has {', '.join(labels) or 'none'}")
        del labels[label]
        write_labels(folder, labels)
    echo(f"{name}@{label} is no more")


@models_cli.command("pull")
def pull(
    models: Places = None,
    cache: Annotated[Path | None, Option(help="folder of the copies, instead of --models-cache")] = None,
) -> None:
    """Copy the bundles of all places on the network into the cache, as the server does at its start."""
    settings = load_settings(models=models or None, models_cache=cache)
    if not settings.remote_models:
        raise ConfigurationError("--models names no place on the network")
    failed = 0
    for source in open_sources(settings):
        source.refresh(at_once=True)
        for path in find_bundles(source.folder):
            echo(f"{f'{path.parent.name}@{path.name}':<28} {path}")
        for reference, error in source.failed.items():
            echo(f"{reference:<28} FAILED: {error.message}")
        failed += len(source.failed)
    if failed:
        raise Exit(1)


def _add(source: str, sha256: str | None, replace: bool, settings: Settings) -> Installed:
    if not settings.model_folders:
        raise ConfigurationError("--models names no folder to add a bundle to")
    max_bytes, seconds = settings.max_bundle_bytes, settings.fetch_timeout_s
    opened: AbstractContextManager[Origin] = (
        remote_places(source).open_origin(source, max_bytes, seconds)
        if "://" in source
        else local_origin(Path(source), max_bytes)
    )
    with opened as origin:
        head = read_head(origin)
        found = hashlib.sha256(head).hexdigest()
        if sha256 is not None and sha256.lower() != found:
            raise InvalidManifest(f"manifest.json has the sha256 {found}, not {sha256}")
        return install(
            origin,
            head,
            settings.model_folders[0],
            Budget(max_bytes, seconds),
            lambda path: check_whole(path, settings.tasks, settings.device),
            replace=replace,
        )


def _tell(done: Installed, what: str) -> None:
    said = what if done.fresh else "is there already, the very same"
    echo(f"{done.manifest.reference} {said}: {done.path}")


def _bundles(settings: Settings) -> list[Path]:
    return [path for folder in settings.model_folders for path in find_bundles(folder)]


def _first(path: str, sha256: str, places: list[str], settings: Settings) -> Installed:
    """A shipped bundle from the first place that has it as it was released."""
    failures = []
    for place in places:
        try:
            return _add(f"{place.rstrip('/')}/{path}", sha256, False, settings)
        except BundleError as error:
            failures.append(f"{place}: {error.message}")
    raise BundleError(f"{path.replace('/', '@')} was not fetched; " + "; ".join(failures))


def _targets(target: str, settings: Settings) -> list[Path]:
    path = Path(target)
    if path.is_dir():
        return [path]
    name, at, version = target.partition("@")
    found = [
        bundle
        for bundle in _bundles(settings)
        if bundle.parent.name == name and (not at or bundle.name == version)
    ]
    if not found:
        raise ConfigurationError(
            f"there is no bundle {target!r}: neither a folder nor a NAME or NAME@VERSION"
        )
    return found


def _model(name: str, settings: Settings) -> tuple[Path, list[str]]:
    """A model's folder in the first place that has it, and its versions."""
    for folder in settings.model_folders:
        versions = [path.name for path in find_bundles(folder) if path.parent.name == name]
        if versions:
            return folder / name, versions
    raise ConfigurationError(f"there is no model {name!r} in {', '.join(map(str, settings.model_folders))}")


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigurationError(f"--share {text!r} is not a share: 0 % to 100 %, or 0 to 1")
    return value


def _row(path: Path) -> dict[str, Any]:
    """A line of the list; shares are 0 to 1."""
    labels = sorted(read_labels(path.parent).items())
    row: dict[str, Any] = {
        "name": path.parent.name,
        "version": path.name,
        "labels": {name: label.share for name, label in labels if label.version == path.name},
        **dict.fromkeys(("task", "cell", "error")),
    }
    try:
        manifest = read_manifest(path)
    except BundleError as error:
        return row | {"error": f"BAD  {error.message}"}
    return row | {"task": manifest.task, "cell": manifest.network.cell}
