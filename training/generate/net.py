"""A language model: tokens in, a distribution over the next token out of every step."""

from __future__ import annotations

from training.token_net import NoisyTokenNet, TokenNetConfig


class LanguageModel(NoisyTokenNet):
    """One logit for each token."""

    def __init__(self, config: TokenNetConfig) -> None:
        super().__init__(config, config.hidden, config.vocabulary)
