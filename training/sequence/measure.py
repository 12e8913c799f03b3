"""How right a network is on whole sequences, its state carried from their beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from app.bundle.manifest import Quality
from training.graph_net import MeasuredNet
from training.sequence.batches import whole_batches
from training.sequence.net import OUTPUT
from training.sequence.series import Corpus, Series, judged


@torch.no_grad()
def answers(net: MeasuredNet, series: Sequence[Series], name: str = OUTPUT) -> NDArray[np.float32]:
    """Outputs ``[targets, total]`` at every step with a target, in the order of :func:`judged`."""
    found: list[NDArray[np.float32]] = [np.zeros((0, 0), np.float32)] * len(series)
    for places, batch in whole_batches(series):
        steps = batch.steps.to(net.device)
        outputs, _ = net(steps, net.start_row().expand(len(steps), -1).contiguous())
        values = outputs[name].float().cpu().numpy()
        for row, place in enumerate(places):
            wanted = np.flatnonzero(np.isfinite(series[place].targets))
            found[place] = values[row, wanted]
    return np.concatenate(found)


def figures(truth: NDArray[np.float64], said: NDArray[np.float64], *, classes: bool) -> dict[str, float]:
    """Of classes accuracy and macro F1; of numbers the mean absolute and the root mean square error."""
    if classes:
        return {
            "accuracy": float(accuracy_score(truth, said)),
            "macro F1": float(f1_score(truth, said, average="macro", zero_division=0.0)),
        }
    error = said - truth
    return {"MAE": float(np.abs(error).mean()), "RMSE": float(np.sqrt((error**2).mean()))}


def decided(outputs: NDArray[np.float32], *, classes: bool) -> NDArray[np.float64]:
    """The class, or the number."""
    return (outputs.argmax(axis=1) if classes else outputs[:, 0]).astype(np.float64)


def measure(
    net: MeasuredNet,
    corpus: Corpus,
    baselines: Mapping[str, NDArray[np.float64]] | None = None,
    name: str = OUTPUT,
) -> list[Quality]:
    """On the test part; ``baselines`` are their answers, in the order of :func:`judged`."""
    truth, classes = judged(corpus.test), bool(corpus.labels)
    ours = figures(truth, decided(answers(net, corpus.test, name), classes=classes), classes=classes)
    beside = {key: figures(truth, said, classes=classes) for key, said in (baselines or {}).items()}
    return [
        Quality(
            metric=f"{metric} of {corpus.target}",
            dataset=corpus.title,
            split=corpus.split,
            value=value,
            higher_is_better=classes,
            baselines={key: each[metric] for key, each in beside.items()},
            references=corpus.references if metric == "accuracy" else {},
        )
        for metric, value in ours.items()
    ]
