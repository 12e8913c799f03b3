"""Pictures and their captions in, a bundle that captions pictures out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.bundle.manifest import Quality
from app.bundle.reader import Bundle
from app.core.errors import DataError, ExportError
from app.features.text import TextCodec, codec_of
from app.tasks.caption.pictures import as_input
from app.tasks.caption.spec import CaptionSpec
from app.tasks.decoded.beams import BEAMS
from training.attending.fitting import fitted
from training.attending.search import MeasuredBundle, MeasuredNet
from training.caption.baselines import consensus, constant
from training.caption.batches import PAD, Batch, batches
from training.caption.cider import Cider
from training.caption.corpus import Corpus, Picture, Vocabulary, caption_tokenizer, words_of
from training.caption.data import FOLDER, load
from training.caption.decoding import captions
from training.caption.features import grids, pixels_of
from training.caption.lite0 import pretrained
from training.caption.measure import figures, truth_of
from training.caption.net import Captioner, CaptionerConfig, Encoder
from training.caption.notes import NOTES, USER_NOTES
from training.caption.scratch import Scratch
from training.caption.settings import FLICKR8K, PRESETS, SIZES, CaptionOptions, CaptionSettings
from training.caption.views import GridViews, PixelViews, Views
from training.data.download import DataStore
from training.options import override, pick
from training.recipe import Recipe, UserModule, first_tokens

_JUDGED = 600
"""Pictures by which an epoch is judged, at most."""
_LEARNED_STEPS = 100
"""Of an optimiser, before what a network says is more than words at random."""


class CaptionRecipe(Recipe[Captioner, Batch]):
    """A network that says what is to be seen in pictures."""

    task = "caption"
    about = "Train a network that captions pictures, on built-in ones or your own, and export it."
    DataOptions = CaptionOptions
    Settings = CaptionSettings

    def __init__(self, options: CaptionOptions, settings: CaptionSettings, corpus: Corpus) -> None:
        self.settings, self._options, self._corpus = settings, options, corpus
        names = ("dataset",) if options.csv is None else ("csv", "image", "caption")
        self.recorded = {name: getattr(options, name) for name in names}
        said = [caption for picture in corpus.train for caption in picture.captions]
        self.tokenizer = caption_tokenizer(said, settings.vocab_size, settings.min_count)
        self.vocabulary = Vocabulary(TextCodec(self.tokenizer))
        self._captions = [
            [self.vocabulary.tokens(caption, settings.max_tokens) for caption in picture.captions]
            for picture in corpus.train
        ]
        self.sources = corpus.sources
        self._epoch = 0
        self._seeing: Any = Scratch()
        self._weights = ""
        if settings.encoder == "lite0":
            self._seeing, source = pretrained(options.weights)
            self._weights, self.sources = source.sha256, (*corpus.sources, source)
        self._train = self._views(corpus.train, mirror=settings.mirror)
        self._validation = self._views(corpus.validation, mirror=False)
        self._cider = Cider(truth_of(corpus.validation[:_JUDGED]))

    def _views(self, pictures: Sequence[Picture], *, mirror: bool) -> Views:
        size = self.settings.size
        if not self._weights:
            return PixelViews(list(pixels_of(self._corpus, pictures, size)))
        args = (self._corpus, pictures, self._seeing, self._weights, size)
        return GridViews(grids(*args, mirror=mirror, cache=self._options.cache))

    @classmethod
    def load(cls, options: CaptionOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        settings = override(PRESETS.get(options.dataset or "", CaptionSettings()), given)
        usual, step = SIZES[settings.encoder]
        settings = dataclasses.replace(settings, size=settings.size or usual)
        if settings.size % step:
            raise DataError(f"--size {settings.size} is no multiple of {step}")
        recipe = cls(options, settings, load(options, data, settings.seed))
        recipe.settings = fitted(settings, recipe.batches_per_epoch, given)
        return recipe

    def bundle_name(self) -> str:
        return "captioner"

    def build_net(self) -> Captioner:
        config = pick(CaptionerConfig, self.settings, vocabulary=self.vocabulary.size)
        # Its weights are drawn anew: they were drawn before the generators were seeded.
        seeing = self._seeing if self._weights else Scratch()
        return Captioner(config, seeing, self._unknown)

    @property
    def _unknown(self) -> int:
        return self.vocabulary.codec.unknown or 0

    @property
    def batches_per_epoch(self) -> int:
        return -(-len(self._captions) // self.settings.batch)

    def batches(self, epoch: int) -> Iterator[Batch]:
        self._epoch, settings = epoch, self.settings
        random = np.random.default_rng((settings.seed, epoch))
        args = (self._train, self._captions, settings.batch, self._unknown, random)
        return batches(*args, mirror=settings.mirror)

    def loss(self, net: Captioner, batch: Batch) -> Tensor:
        row, attended = net.encode(self._train.grid(net, batch.taken.to(net.device)))
        said, wanted = [], []
        for part in batch.parts:
            pictures, inputs, targets = (tensor.to(net.device) for tensor in part)
            lengths = torch.full((len(inputs),), attended.shape[1], device=inputs.device)
            found = net.decode(inputs, row[pictures], net.noisy(attended[pictures]), lengths)[0]
            kept = targets != PAD
            said.append(found[kept])
            wanted.append(targets[kept])
        return net.loss(torch.cat(said), torch.cat(wanted), self.settings.smoothing).mean()

    def validate(self, net: Captioner) -> float:
        """CIDEr-D below zero: the likelihood is at its best long before captions are.

        Many pictures are judged by greedy captions, which are quick, and few by beams, as they will be
        captioned. Of few pictures words at random may score well, so before ``_LEARNED_STEPS`` the network
        that has learned for longer is the better one.
        """
        steps = (self._epoch + 1) * self.batches_per_epoch
        if steps < _LEARNED_STEPS:
            return 1.0 - steps / _LEARNED_STEPS
        count = min(_JUDGED, len(self._validation))
        width = 1 if count == _JUDGED else BEAMS
        indices = np.arange(count)[:, None]
        seen = _Seen(net, self._validation)
        told = captions(seen, self.vocabulary, indices, width, self.settings.max_tokens)
        return -self._cider.score([words_of(caption) for caption in told])

    def measure(self, net: Captioner) -> list[Quality]:
        corpus, settings = self._corpus, self.settings
        said = [caption for picture in corpus.train for caption in picture.captions]
        others = {"the caption that suits most pictures": [constant(said)] * len(corpus.test)}
        if isinstance(self._train, GridViews):
            asked = self._views(corpus.test, mirror=False)
            assert isinstance(asked, GridViews)
            known = [picture.captions for picture in corpus.train]
            others["consensus of similar pictures"] = consensus(self._train.means(), known, asked.means())
        measured = MeasuredNet(net, Encoder(net))
        return figures(measured, self.vocabulary, corpus, self._test, settings.max_tokens, others)

    def _test(self) -> Iterator[NDArray[np.float32]]:
        return map(as_input, pixels_of(self._corpus, self._corpus.test, self.settings.size))

    @classmethod
    def measure_again(cls, bundle: Bundle, store: DataStore) -> list[Quality]:
        manifest = bundle.manifest
        if not any(source.name.startswith(FOLDER) for source in manifest.provenance.data):
            return []
        spec = manifest.spec_as(CaptionSpec)
        corpus = load(CaptionOptions(dataset=FLICKR8K), store.folder, 0)
        vocabulary = Vocabulary(codec_of(bundle, spec.vocabulary))

        def pictures() -> Iterator[NDArray[np.float32]]:
            return map(as_input, pixels_of(corpus, corpus.test, spec.size))

        return figures(MeasuredBundle(bundle), vocabulary, corpus, pictures, spec.max_tokens, {})

    @property
    def spec(self) -> CaptionSpec:
        side = self.settings.size // self._seeing.stride
        return CaptionSpec(
            vocabulary=self.vocabulary.size,
            start_token=self.vocabulary.start,
            end_token=self.vocabulary.end,
            max_tokens=self.settings.max_tokens,
            size=self.settings.size,
            detail=self._corpus.detail,
            grid=(side, side),
        )

    @property
    def description(self) -> str:
        return f"Says in a sentence what is to be seen in a picture; learned from {self._corpus.name}."

    @property
    def notes(self) -> str:
        return NOTES.get(self._options.dataset or "", USER_NOTES)

    def golden_steps(self) -> NDArray[np.int64]:
        """The beginnings of three captions."""
        return first_tokens(caption for picture in self._captions for caption in picture)

    def encoder(self, net: Captioner) -> Encoder:
        return Encoder(net)

    def golden_inputs(self) -> list[NDArray[np.float32]]:
        """Three pictures of noise, so that a bundle holds nobody's photograph."""
        random = np.random.default_rng(0)
        shape = (3, 8, 8, 3)
        coarse = random.integers(0, 256, shape, np.uint8).repeat(-(-self.settings.size // 8), 1)
        whole = coarse.repeat(-(-self.settings.size // 8), 2)[:, : self.settings.size, : self.settings.size]
        return [as_input(pixels) for pixels in whole]

    @staticmethod
    def module_spec(module: UserModule) -> CaptionSpec:
        raise ExportError("a captioner is an encoder and a decoder; train it with this task's recipe")


class _Seen(MeasuredNet):
    """Pictures by their index ``[1]``, as the encoder has seen them already."""

    def __init__(self, net: Captioner, views: Views) -> None:
        super().__init__(net, Encoder(net))
        self._captioner, self._views = net, views

    @torch.no_grad()
    def encode(
        self, x: NDArray[Any], lengths: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        net = self._captioner
        taken = self._views.take(x[:, 0], np.zeros(len(x), np.bool_)).to(net.device)
        rows, attended = net.encode(self._views.grid(net, taken))
        return rows.cpu().numpy(), attended.cpu().numpy()
