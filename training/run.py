"""The pipeline of every recipe: load, build, train, measure, export."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from app.bundle.manifest import TOKENIZER_FILE
from app.core.errors import TrainingError
from training.export import check_names, describe_run, export_bundle
from training.loop import fit, seed_everything
from training.loop_config import FitReport, LoopConfig
from training.options import RunOptions, pick, recorded_command
from training.recipe import Recipe
from training.stage import Stage


def run(kind: type[Recipe[Any, Any]], given: Mapping[str, Any]) -> Path:
    """Train, measure and export one network.

    Args:
        kind: the recipe.
        given: options of its command by name; settings that are ``None`` or left out are the recipe's.

    Returns:
        The bundle's folder.

    Raises:
        TrainingError: the data, the training or the export failed, or the user interrupted it.
    """
    options = pick(RunOptions, given)
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    if options.name is not None:
        check_names(options.name, options.version)
    recipe = kind.load(pick(kind.DataOptions, given), given, options.data)
    settings = recipe.settings
    seed_everything(settings.seed)
    net = recipe.build_net()
    seconds = _first(recipe.before(net), options)
    report = fit(
        net,
        batches=recipe.batches,
        batches_per_epoch=recipe.batches_per_epoch,
        loss=recipe.loss,
        validate=recipe.validate,
        config=pick(LoopConfig, settings),
        checkpoint=options.checkpoint,
        resume=options.resume and (seconds is None or _is_there(options.checkpoint)),
        quiet=options.quiet,
        blame=recipe.blame,
        judge_start=recipe.starts_trained,
    )
    if report.trouble:
        done = f"training ended after {report.epochs_run} epochs, and the best weights so far are kept"
        print(f"{done}: {report.trouble}", file=sys.stderr)
    if report.interrupted:
        done = _interrupted(f"{report.epochs_run} of {settings.epochs} epochs", options)
        raise TrainingError(
            f"{done}, and with --epochs {max(1, report.epochs_run)} to export the best weights so far"
        )
    if recipe.starts_trained:
        print(_gain(report), file=sys.stderr)
    net = recipe.after(net, report)
    name = options.name or recipe.bundle_name()
    files = recipe.files(net)
    if recipe.tokenizer is not None:
        files[TOKENIZER_FILE] = recipe.tokenizer.encode()
    recorded = {
        **recipe.recorded,
        "name": name,
        "version": options.version,
        **{name: value for name, value in dataclasses.asdict(settings).items() if name not in recipe.decided},
    }
    figures = recipe.measure(net)
    return export_bundle(
        net,
        out=options.out,
        name=name,
        version=options.version,
        description=recipe.description[:500],
        spec=recipe.spec,
        provenance=describe_run(
            recorded_command(kind.task, recorded),
            settings.seed,
            recipe.sources,
            report.seconds + (seconds or 0),
        ),
        quality=figures,
        files=files,
        golden_steps=recipe.golden_steps(),
        card_notes=recipe.notes,
        encoder=recipe.encoder(net),
        golden_inputs=recipe.golden_inputs(),
    )


def _first(stage: Stage | None, options: RunOptions) -> float | None:
    """Train what comes first, or go on with it; the seconds it took, ``None`` where nothing comes first."""
    if stage is None:
        return None
    report = stage.fit(options.checkpoint, resume=options.resume, quiet=options.quiet)
    if report.interrupted:
        raise TrainingError(
            _interrupted(f"{report.epochs_run} of {stage.config.epochs} epochs of {stage.name}", options)
        )
    if report.trouble:
        print(f"{stage.name} ended after {report.epochs_run} epochs: {report.trouble}", file=sys.stderr)
    stage.done(report)
    return report.seconds


def _interrupted(done: str, options: RunOptions) -> str:
    """What to say of a run that was interrupted; raises TrainingError where it cannot be resumed."""
    if options.checkpoint is None:
        raise TrainingError(f"interrupted after {done}; with --checkpoint the run could be resumed")
    return f"interrupted after {done}; repeat the command with --resume to go on"


def _is_there(checkpoint: Path | None) -> bool:
    """Whether the training proper had begun."""
    return checkpoint is not None and checkpoint.exists()


def _gain(report: FitReport) -> str:
    """What training made of the network it started from, by the validation score."""
    before, after = report.start_score, report.best_score
    if report.best_epoch < 0:
        return f"training made it no better: the weights are those it started from (validation {before:.4f})"
    return f"training made it better: validation {before:.4f} before, {after:.4f} after"
