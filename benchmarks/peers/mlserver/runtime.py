"""MLServer: a custom runtime with adaptive batching, over the Open Inference Protocol."""

from __future__ import annotations

from forecaster import Forecaster
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class ForecastRuntime(MLModel):
    """Series in, quantiles out."""

    async def load(self) -> bool:
        """In each worker."""
        self.forecaster = Forecaster()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """A batch: ``values`` ``[batch, time]`` to ``quantiles`` ``[batch, 24, levels]``."""
        values = NumpyCodec.decode_input(payload.inputs[0])
        quantiles = self.forecaster.run(values)[:, :24]
        assert quantiles.shape[2] == len(self.forecaster.levels)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("quantiles", quantiles)]
        )
