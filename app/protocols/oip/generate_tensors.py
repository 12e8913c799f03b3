"""Text generation as tensors: ``prompt [batch]`` of BYTES, or ``tokens``, in; ``text [batch]`` out.

The outputs ``step_...`` say of each token of the prompt how likely it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.bundle.manifest import Manifest
from app.core.errors import InvalidInput
from app.core.tensor import ANY, Tensor, TensorSpec, floats, integers, texts
from app.protocols.oip.parameters import DEFAULT_MAX_TOKENS, GenerateParameters
from app.protocols.oip.rows import TOKENS, text_events
from app.tasks.generate.actions import GenerateFromState
from app.tasks.generate.schema import GenerateAnswer, GenerateRequest
from app.tasks.generate.spec import GenerateSpec
from app.tasks.streaming import Output

_SEEDS = 2**63


class GenerateTensors:
    """What one text generator's tensors mean.

    Args:
        manifest: of its bundle.
        spec: of the manifest.
    """

    parameters = GenerateParameters
    inputs = (TensorSpec("prompt", "BYTES", (ANY,)), TOKENS)

    def __init__(self, manifest: Manifest, spec: GenerateSpec) -> None:
        self._reference = manifest.reference
        self.outputs = (
            TensorSpec("text", "BYTES", (ANY,)),
            TensorSpec("finish_reason", "BYTES", (ANY,)),
            TensorSpec("completion_tokens", "INT64", (ANY,)),
            TensorSpec("seed", "INT64", (ANY,)),
            TensorSpec("step_token", "BYTES", (ANY, ANY), each_step=True),
            TensorSpec("step_id", "INT64", (ANY, ANY), each_step=True),
            TensorSpec("step_logprob", "FP32", (ANY, ANY), each_step=True),
        )
        self.meaning: dict[str, str | int] = {"vocabulary": spec.vocabulary, "unit": spec.unit}

    def requests(
        self, tensors: Mapping[str, Tensor], parameters: GenerateParameters, max_prompts: int
    ) -> list[GenerateRequest]:
        """A generation for each prompt; where a seed is given, the seeds ascend from it.

        Raises:
            InvalidInput: there are too many prompts.
        """
        prompts = self.events(tensors)
        if len(prompts) > max_prompts:
            raise InvalidInput(
                "inputs",
                f"a request may hold at most {max_prompts} prompts, got {len(prompts)}",
                allowed={"max": max_prompts},
            )
        seed = parameters.seed
        return [
            GenerateRequest.model_construct(
                **self._asked(prompt, parameters, None if seed is None else (seed + place) % _SEEDS),
                model=self._reference,
            )
            for place, prompt in enumerate(prompts)
        ]

    def advance(
        self, tensors: Mapping[str, Tensor], parameters: GenerateParameters, seq: int | None
    ) -> GenerateFromState:
        """A generation that becomes part of a sequence, its prompt included."""
        (request,) = self.requests(tensors, parameters, 1)
        asked = self._asked(request.prompt, parameters, parameters.seed)
        return GenerateFromState.model_construct(**asked, model=None, advance=True, seq=seq)

    def _asked(
        self, prompt: str | list[int], parameters: GenerateParameters, seed: int | None
    ) -> dict[str, Any]:
        return {
            "prompt": prompt,
            "max_tokens": parameters.max_tokens or DEFAULT_MAX_TOKENS,
            "temperature": parameters.temperature,
            "top_k": parameters.top_k,
            "top_p": parameters.top_p,
            "seed": seed,
            "stop": parameters.stop,
        }

    def answer(self, answers: Sequence[GenerateAnswer]) -> list[Tensor]:
        """The text of each prompt, why it ended, how many tokens it has, and its seed."""
        return [
            texts("text", [one.choices[0].text for one in answers]),
            texts("finish_reason", [one.choices[0].finish_reason for one in answers]),
            integers("completion_tokens", [one.usage.completion_tokens for one in answers]),
            integers("seed", [one.seed for one in answers]),
        ]

    def events(self, tensors: Mapping[str, Tensor]) -> Sequence[str | list[int]]:
        """The rows as inputs of a session each."""
        return text_events(tensors, "prompt")

    def steps(self, rows: Sequence[Sequence[Output]]) -> list[Tensor]:
        """Token, id and log-probability of each token fed, ``[batch, time]``; NaN for a first one."""
        return [
            texts("step_token", [[one["token"] for one in row] for row in rows]),
            integers("step_id", [[one["id"] for one in row] for row in rows]),
            floats("step_logprob", [[one["logprob"] for one in row] for row in rows]),
        ]
