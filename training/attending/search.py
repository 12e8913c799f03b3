"""The likeliest texts of many inputs, for a measure: as the server finds them, by the same search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from app.bundle.reader import Bundle
from app.core.beam import BeamRequest
from app.runtime.attended import Attended
from app.runtime.beams import BeamSearch, advance
from app.runtime.session import EncoderSession, GraphSession, likeliest
from training.attending.net import AttendingDecoder
from training.exportable import ExportableEncoder

Rows = NDArray[np.float32]


class Measured(Protocol):
    """A network with its encoder, be it PyTorch's or a bundle's graphs."""

    def encode(self, x: NDArray[Any], lengths: NDArray[np.int64] | None) -> tuple[Rows, Rows]:
        """Whole inputs, those of tokens padded, to rows ``[batch, S]`` and ``[batch, length, width]``."""

    def step(
        self, tokens: NDArray[np.int64], rows: Rows, attended: Rows, lengths: NDArray[np.int64]
    ) -> tuple[Rows, Rows]:
        """A token ``[batch, 1]`` of each to logits ``[batch, vocabulary]`` and the next rows."""


class MeasuredNet:
    """See :class:`Measured`."""

    def __init__(self, net: AttendingDecoder, encoder: ExportableEncoder) -> None:
        self._net, self._encoder = net.eval(), encoder

    @torch.no_grad()
    def encode(self, x: NDArray[Any], lengths: NDArray[np.int64] | None) -> tuple[Rows, Rows]:
        known = None if lengths is None else torch.from_numpy(lengths)
        rows, attended = self._encoder(torch.from_numpy(x).to(self._net.device), known)
        assert attended is not None
        return rows.cpu().numpy(), attended.cpu().numpy()

    @torch.no_grad()
    def step(
        self, tokens: NDArray[np.int64], rows: Rows, attended: Rows, lengths: NDArray[np.int64]
    ) -> tuple[Rows, Rows]:
        given = [torch.from_numpy(array).to(self._net.device) for array in (tokens, rows, attended, lengths)]
        outputs, after = self._net(given[0], given[1], 0, given[2], given[3])
        return outputs["logits"][:, -1].cpu().numpy(), after.cpu().numpy()


class MeasuredBundle:
    """See :class:`Measured`."""

    def __init__(self, bundle: Bundle) -> None:
        assert bundle.encoder is not None
        self._graph = GraphSession(bundle.graph, bundle.manifest)
        self._encoder = EncoderSession(bundle.encoder, bundle.manifest)

    def encode(self, x: NDArray[Any], lengths: NDArray[np.int64] | None) -> tuple[Rows, Rows]:
        rows, attended = self._encoder.run(x, lengths)
        return rows, attended[0]

    def step(
        self, tokens: NDArray[np.int64], rows: Rows, attended: Rows, lengths: NDArray[np.int64]
    ) -> tuple[Rows, Rows]:
        outputs, after = self._graph.run(tokens, rows, 0, Attended(attended, lengths))
        return outputs[0][:, -1], after


def best_tokens(
    net: Measured,
    x: NDArray[Any],
    lengths: NDArray[np.int64] | None,
    requests: Sequence[BeamRequest],
) -> list[list[int]]:
    """Of each input the tokens of its best hypothesis.

    Args:
        net: the network.
        x: whole inputs, as the encoder takes them.
        lengths: of tokens ``[batch]``; ``None`` for numbers.
        requests: what is looked for, one of each; all of one width, and begun with one token.
    """
    rows, attended = net.encode(x, lengths)
    counts = np.full(len(x), attended.shape[1]) if lengths is None else lengths
    searches = live = [BeamSearch(request) for request in requests]
    width = requests[0].width
    members = np.repeat(np.arange(len(searches)), width)
    rows = rows[members]
    while live:
        fed = np.concatenate([search.tokens for search in live])[:, None]
        logits, rows = net.step(fed, rows, attended[members], counts[members])
        parents = advance(live, logits, likeliest)
        going = np.repeat([not search.done for search in live], width)
        rows, members = rows[parents][going], members[going]
        live = [search for search in live if not search.done]
    return [search.hypotheses()[0].tokens for search in searches]
