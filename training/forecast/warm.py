"""Weights in a bundle, so that training can start from them: plain arrays by the name of the parameter."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.bundle.reader import read_regular
from app.core.errors import DataError, TrainingError
from app.tasks.forecast.covariate_spec import CovariateSpec
from app.tasks.forecast.spec import ForecastSpec
from training.forecast.beside import NONE, Beside
from training.forecast.candidates import NUM_CANDIDATES, PARABOLA
from training.forecast.net import UNUSED, Forecaster, ForecasterConfig
from training.forecast.series_csv import CsvLayout
from training.start import find_start

WEIGHTS_FILE = "weights.npz"
_MOST_BYTES = 64 << 20


def pack_weights(net: Forecaster) -> bytes:
    """The weights as the content of :data:`WEIGHTS_FILE`."""
    buffer = io.BytesIO()
    arrays = {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


class Start:
    """A forecaster to start training from.

    Args:
        reference: ``name@version`` or ``name``, of which the newest version is taken.
        models: the folder where it is.

    Raises:
        TrainingError: there is no such forecaster, or its bundle holds no weights.
    """

    def __init__(self, reference: str, models: Path) -> None:
        folder, manifest = find_start(reference, "forecast", models)
        self.reference, self.spec = manifest.reference, manifest.spec_as(ForecastSpec)
        try:
            content = io.BytesIO(read_regular(folder / WEIGHTS_FILE, _MOST_BYTES))
            with np.load(content, allow_pickle=False) as arrays:
                self._weights = {name: torch.from_numpy(arrays[name].copy()) for name in arrays.files}
        except FileNotFoundError:
            raise TrainingError(
                f"{self.reference} has no {WEIGHTS_FILE}, so that nothing can start from it; "
                "bundles trained by this version have"
            ) from None
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"the weights of {self.reference} cannot be read: {error}") from error

    def covariates_for(self, layout: CsvLayout) -> CovariateSpec | None:
        """What its covariates are measured in; ``None`` where it has none yet.

        Raises:
            TrainingError: it reads other covariates than the layout names.
        """
        spec = self.spec.covariates
        if spec is None:
            return None
        ours = [[each.name for each in part] for part in (spec.future, spec.past, spec.static)]
        region = None if spec.holidays is None else spec.holidays.region
        named = layout.columns
        given = (named.future, named.past, named.static)
        if list(map(_words, ours)) != list(map(_words, given)) or region != layout.holidays:
            flags = [
                f"--{flag} {','.join(names)}"
                for flag, names in zip(("future", "past", "static"), ours, strict=True)
                if names
            ]
            flags += [] if region is None else [f"--holidays {region}"]
            raise TrainingError(f"{self.reference} reads covariates; give the same: {' '.join(flags)}")
        return spec

    def net(self, horizon: int, dropout: float = 0.0, beside: Beside = NONE) -> Forecaster:
        """The network with its weights, for as many steps ahead as it knows or fewer.

        Covariates that it does not know yet begin without any effect.

        Raises:
            TrainingError: it knows fewer, or the weights are of another network.
        """
        if horizon > self.spec.horizon:
            raise TrainingError(
                f"horizon is {horizon}, but {self.reference} forecasts 1 to {self.spec.horizon} steps ahead"
            )
        weights: dict[str, Tensor] = dict(self._weights)
        try:
            layers = [name for name in weights if name.startswith("recurrent.layers.weight_hh_l")]
            gates, hidden = weights[layers[0]].shape
            config = ForecasterConfig(
                cell="lstm" if gates == 4 * hidden else "gru" if gates == 3 * hidden else "rnn",
                layers=len(layers),
                hidden=hidden,
                dropout=dropout,
                horizon=horizon,
                levels=self.spec.quantiles,
                num_frequencies=weights["frequency.weight"].shape[0],
                frequency_size=weights["frequency.weight"].shape[1],
                local=weights["place"].shape[1],
                beside=beside,
            )
            weights["place"] = weights["place"][:horizon]
            if len(weights["local.bias"]) == NUM_CANDIDATES + len(self.spec.quantiles) - 1:
                _add_parabola(weights)
            weights["narrowing"] = weights.get("narrowing", torch.zeros(self.spec.horizon))[:horizon]
            net = Forecaster(config)
            if self.spec.covariates is None and beside.num:
                for name in ("recurrent.layers.weight_ih_l0", "known.weight"):
                    missing = net.state_dict()[name].shape[1] - weights[name].shape[1]
                    weights[name] = torch.nn.functional.pad(weights[name], (0, missing))
            net.load_state_dict(weights)
        except (IndexError, KeyError, RuntimeError) as error:
            raise TrainingError(f"the weights of {self.reference} are of another network: {error}") from error
        return net


def _add_parabola(weights: dict[str, Tensor]) -> None:
    """Weights of a network that knew no parabola: it counts for little, and nothing is read of it."""
    for name, axis, place in (
        ("known.weight", 1, PARABOLA),
        ("local.weight", 0, PARABOLA),
        ("local.bias", 0, PARABOLA),
    ):
        before, after = weights[name].tensor_split([place], dim=axis)
        new = torch.zeros_like(after.narrow(axis, 0, 1))
        weights[name] = torch.cat([before, new if name != "local.bias" else new + UNUSED, after], axis)


def _words(names: Sequence[str]) -> list[str]:
    """What stands between the commas; a name may have some itself."""
    return [part.strip() for part in ",".join(names).split(",")]
