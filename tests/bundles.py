"""Tiny bundles of every task and cell, made by the real exporter from untrained networks.

Weights are random but fixed, so their answers mean nothing and repeat exactly.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import torch

from app.features.frequency import MAX_SEASON, parse_frequency
from app.features.series import COLUMNS, SeriesKind, encode
from app.features.text import TextCodec
from app.tasks.compose.spec import ComposeSpec, Voice
from app.tasks.forecast.covariate_spec import CovariateSpec, Holidays, Scaled, Words, all_columns
from app.tasks.forecast.spec import ForecastSpec, Frequency
from app.tasks.generate.spec import GenerateSpec
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.sequence.spec import Column, NamedOutput, SequenceSpec
from app.tasks.transcribe.spec import TranscribeSpec
from app.tasks.translate.spec import Language, TranslateSpec
from training.cells import Cell
from training.compose.corpus import allowed, follows, intervals
from training.compose.net import Composer, ComposerConfig
from training.export import describe_run, export_bundle
from training.forecast.beside import Beside
from training.forecast.net import Forecaster, ForecasterConfig
from training.generate.net import LanguageModel
from training.sentiment.net import Classifier, ClassifierConfig
from training.sequence.net import Reader, ReaderConfig, Scale
from training.token_net import TokenNetConfig
from training.tokenizers import bpe_tokenizer, character_tokenizer, word_tokenizer
from training.transcribe.net import Hearer, HearerConfig
from training.translate.corpus import Vocabulary
from training.translate.net import Encoder, Translator, TranslatorConfig

CELLS: tuple[Cell, ...] = ("rnn", "lstm", "gru")
LETTERS = "\n abcdefghijklmnopqrstuvwxyz.,é"
WORDS = ["a good film, truly good", "a bad film! not good", "the plot is thin , the end is dull."]
TONGUES = ["a dog and a cat", "ein hund und eine katze", "two dogs run", "zwei hunde rennen"]
LABELS = ("negative", "positive")
HORIZON = 12


def tiny_generator(
    out: Path,
    cell: Cell = "lstm",
    name: str = "tiny-text",
    version: str = "1",
    seed: int = 1,
    letters: str = LETTERS,
    hidden: int = 16,
) -> Path:
    """A character model over ``letters``; a newline starts texts but ends none."""
    torch.manual_seed(seed)
    tokenizer = character_tokenizer([letters])
    vocabulary = TextCodec(tokenizer).size
    net = LanguageModel(TokenNetConfig(vocabulary, cell=cell, embedding=8, hidden=hidden, layers=2))
    _unsettle(net)
    spec = GenerateSpec(
        vocabulary=vocabulary, unit="character", start_token=TextCodec(tokenizer).encode("\n")[0]
    )
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description="Random letters.",
        spec=spec,
        provenance=describe_run("tests", 1),
        files={"tokenizer.json": tokenizer.encode()},
    )


def tiny_bpe_generator(out: Path, name: str = "tiny-bpe", version: str = "1") -> Path:
    """A model over bytes and a few of their merges, so that a token may be a part of a character."""
    torch.manual_seed(4)
    tokenizer = bpe_tokenizer(["the théâtre and the thé, the naïve café"], 280)
    vocabulary = TextCodec(tokenizer).size
    net = LanguageModel(TokenNetConfig(vocabulary, cell="gru", embedding=8, hidden=16))
    _unsettle(net)
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description="Random bytes.",
        spec=GenerateSpec(
            vocabulary=vocabulary, unit="token", start_token=TextCodec(tokenizer).encode("\n")[0]
        ),
        provenance=describe_run("tests", 4),
        files={"tokenizer.json": tokenizer.encode()},
    )


def tiny_classifier(out: Path, cell: Cell = "gru", name: str = "tiny-mood", version: str = "1") -> Path:
    """Two labels over a handful of words."""
    torch.manual_seed(2)
    tokenizer = word_tokenizer(WORDS, 40)
    vocabulary = TextCodec(tokenizer).size
    net = Classifier(ClassifierConfig(vocabulary, labels=len(LABELS), cell=cell, embedding=8, hidden=12))
    _unsettle(net)
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description="Random moods.",
        spec=SentimentSpec(vocabulary=vocabulary, labels=LABELS),
        provenance=describe_run("tests", 2),
        files={"tokenizer.json": tokenizer.encode()},
    )


NINE_LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


def tiny_forecaster(
    out: Path,
    cell: Cell = "lstm",
    name: str = "tiny-series",
    version: str = "1",
    levels: tuple[float, ...] = NINE_LEVELS,
) -> Path:
    """Twelve steps ahead, hourly and daily."""
    torch.manual_seed(3)
    net = Forecaster(
        ForecasterConfig(cell=cell, hidden=12, layers=2, horizon=HORIZON, local=8, levels=levels)
    )
    _unsettle(net.recurrent)
    frequencies = {
        "h": Frequency(index=1, season=24, long_season=168),
        "D": Frequency(index=2, season=7, long_season=7),
    }
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description="Random forecasts.",
        spec=ForecastSpec(
            horizon=HORIZON,
            quantiles=net.config.levels,
            columns=COLUMNS,
            window=MAX_SEASON,
            frequencies=frequencies,
        ),
        provenance=describe_run("tests", 3),
        golden_steps=golden_series(),
    )


def tiny_reader(out: Path, cell: Cell = "gru", name: str = "tiny-sensors", version: str = "1") -> Path:
    """Two columns, of which the second may be missing, to a class of three and a temperature."""
    torch.manual_seed(5)
    scale = Scale((0.5, 20.0), (0.5, 4.0))
    net = Reader(ReaderConfig(4, columns=2, masked=True, cell=cell, hidden=12), scale)
    _unsettle(net.recurrent)
    steps = np.random.default_rng(0).normal((0.5, 20.0), (0.5, 4.0), (3, 24, 2)).astype(np.float32)
    steps[0, 5:9, 1] = np.nan
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description="Random verdicts.",
        spec=SequenceSpec(
            columns=(
                Column(name="vibration", unit="mm/s"),
                Column(name="temperature", unit="°C", missing=True),
            ),
            outputs=(
                NamedOutput(name="state", size=3, labels=("ok", "worn", "broken")),
                NamedOutput(name="next", unit="°C"),
            ),
        ),
        provenance=describe_run("tests", 5),
        golden_steps=steps,
    )


def tiny_hearer(out: Path, cell: Cell = "gru", name: str = "tiny-ears", version: str = "1") -> Path:
    """Hears the letters a, b, c and spaces in anything, often enough to have words of several letters."""
    torch.manual_seed(6)
    net = Hearer(HearerConfig(5, cell=cell, hidden=12, layers=2, channels=3))
    _unsettle(net)
    steps = np.random.default_rng(0).normal(0, 0.1, (3, 24, net.step_samples)).astype(np.float32)
    with torch.no_grad():
        samples = torch.from_numpy(steps)
        net.settle(net.powers(samples, torch.zeros(3, net.tail)).flatten(0, 1))
        net.front.joined.weight.mul_(0.1)
        net.head.weight.mul_(25.0)
        logits = net(samples, net.start_row().expand(3, -1).contiguous())[0]["logits"]
        net.head.bias.sub_(logits.mean(dim=(0, 1)))
        net.head.bias[0] += 1
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description="Random letters.",
        spec=TranscribeSpec(
            unit="character", units=("a", "b", "c", " "), sample_rate=8000, step_samples=net.step_samples
        ),
        provenance=describe_run("tests", 6),
        golden_steps=steps,
    )


def tiny_speller(out: Path, name: str = "tiny-names", version: str = "1") -> Path:
    """Letters to one of two labels, by one number."""
    torch.manual_seed(6)
    tokenizer = character_tokenizer([LETTERS])
    vocabulary = TextCodec(tokenizer).size
    net = Reader(ReaderConfig(1, vocabulary=vocabulary, cell="lstm", embedding=8, hidden=12))
    _unsettle(net)
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description="Random languages.",
        spec=SequenceSpec(
            vocabulary=vocabulary,
            outputs=(NamedOutput(name="language", labels=("here", "elsewhere")),),
            read="each",
        ),
        provenance=describe_run("tests", 6),
        files={"tokenizer.json": tokenizer.encode()},
    )


def tiny_covariate_forecaster(out: Path, name: str = "tiny-shop") -> Path:
    """Of daily sales: a price and a flag known ahead, visitors, two shops, and a few holidays."""
    torch.manual_seed(5)
    covariates = CovariateSpec(
        future=(Scaled(name="price", mean=3.0, scale=1.5), Scaled(name="promo")),
        past=(Scaled(name="visitors", mean=100.0, scale=30.0),),
        static=(Words(name="shop", values=("Bonn", "Kiel")),),
        holidays=Holidays(region="DE", dates=(date(2023, 10, 3), date(2024, 1, 1), date(2025, 5, 1))),
    )
    beside = Beside(covariates.known, covariates.others)
    net = Forecaster(ForecasterConfig(hidden=12, layers=1, horizon=HORIZON, local=8, beside=beside))
    _unsettle(net)
    spec = ForecastSpec(
        horizon=HORIZON,
        quantiles=net.config.levels,
        columns=all_columns(covariates, HORIZON),
        window=MAX_SEASON,
        frequencies={"D": Frequency(index=1, season=7, long_season=7)},
        covariates=covariates,
    )
    golden = np.pad(golden_series(), ((0, 0), (0, 0), (0, len(spec.columns) - len(COLUMNS))))
    return export_bundle(
        net,
        out=out,
        name=name,
        version="1",
        description="Random sales.",
        spec=spec,
        provenance=describe_run("tests", 5),
        golden_steps=golden,
    )


def golden_series() -> np.ndarray:
    """``[2, 40, columns]``: hourly with gaps, and daily."""
    random = np.random.default_rng(0)
    values = 100 + 10 * np.sin(np.arange(40) / 4) + random.normal(0, 1, (2, 40))
    values[0, 5:9] = np.nan
    hourly = SeriesKind(parse_frequency("h"), 1, 24, 168)
    return np.stack([encode(values[0], None, hourly), encode(values[1], None, SeriesKind(None, 2, 7, 7))])


def _unsettle(net: torch.nn.Module) -> None:
    """Larger weights than at the start of a training, so that states move and starts differ."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)


TINY_VOICES = (
    Voice(name="soprano", low=60, high=70),
    Voice(name="bass", low=48, high=60),
    Voice(name="alto", low=55, high=65),
)


def tiny_translator(out: Path, name: str = "tiny-tongues", version: str = "1") -> Path:
    """From English to German and back; it writes random words."""
    torch.manual_seed(8)
    tokenizer = bpe_tokenizer(TONGUES, 300)
    vocabulary = Vocabulary(TextCodec(tokenizer), ("de", "en"))
    config = TranslatorConfig(
        vocabulary=vocabulary.size, embedding=12, encoder=8, values=16, hidden=10, attention=8, max_length=128
    )
    net = Translator(config)
    _unsettle(net)
    languages = tuple(
        Language(code=code, start_token=vocabulary.start(code), letters=letters, words=words)
        for code, letters, words in (
            ("de", "abcdefghijklmnopqrstuvwxyzäöüß", ("ein", "hund", "und")),
            ("en", "abcdefghijklmnopqrstuvwxyz", ("a", "dog", "and")),
        )
    )
    spec = TranslateSpec(
        vocabulary=vocabulary.size,
        end_token=vocabulary.end,
        languages=languages,
        directions=(("en", "de"), ("de", "en")),
        max_tokens=config.max_length - 1,
    )
    sources = [[*vocabulary.codec.encode(text), vocabulary.end] for text in TONGUES[:3]]
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description="Random words.",
        spec=spec,
        provenance=describe_run("tests", 8),
        files={"tokenizer.json": tokenizer.encode()},
        golden_steps=np.random.default_rng(0).integers(0, vocabulary.size, (3, 12)),
        encoder=Encoder(net),
        golden_inputs=[np.array(source[: config.max_length]) for source in sources],
    )


def tiny_composer(
    out: Path,
    cell: Cell = "lstm",
    name: str = "tiny-music",
    version: str = "1",
    voices: tuple[Voice, ...] = TINY_VOICES,
    lead: int = 2,
    restrikes: bool = False,
) -> Path:
    """Three voices, the first two steps ahead, in bars of six steps."""
    torch.manual_seed(5)
    spec = ComposeSpec(voices=voices, lead=lead, steps_per_beat=2, beats_per_bar=3, restrikes=restrikes)
    config = ComposerConfig(
        spec.layout.vocabulary, len(voices), lead, spec.steps_per_bar, window=12, cell=cell, hidden=16
    )
    net = Composer(config, allowed(spec), intervals(spec.layout), follows(spec.layout))
    _unsettle(net)
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description="Random music.",
        spec=spec,
        provenance=describe_run("tests", 5),
        golden_steps=np.random.default_rng(5).integers(0, spec.layout.vocabulary, (3, 24)),
    )
