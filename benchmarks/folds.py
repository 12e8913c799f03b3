"""Sentences of reviews (MR, Pang & Lee 2005) by ten-fold cross-validation, beside what else one would use.

    python -m benchmarks.folds --data DATA --checkpoint RUN [--folds 10] [--docs]

Each network starts from the language model of IMDb reviews that ``rnnserve-train sentiment --dataset sst-imdb
--checkpoint RUN`` leaves at RUN.pretraining, and learns the labels of nine folds alone, since the treebank
has many of the same sentences. One of the nine chooses the epoch. Beside it: a regression on words and pairs,
trained on the same, and VADER (Hutto & Gilbert 2014), a list of words with rules, where vaderSentiment is
installed. ``--docs`` writes the table into docs/your-data.md.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.report import Figure, publish
from benchmarks.sentences import vader
from training.loop import fit
from training.loop_config import LoopConfig
from training.options import pick
from training.sentiment.baselines import BagOfWords
from training.sentiment.data import Corpus, encode
from training.sentiment.measure import Verdicts
from training.sentiment.net import Classifier
from training.sentiment.recipe import SentimentRecipe
from training.sentiment.reviews import NEGATIVE, POSITIVE, SENTIMENT_LABELS, LabelledTexts
from training.sentiment.settings import ReviewOptions

DOCS = Path(__file__).parent.parent / "docs/your-data.md"
TITLE = "MR, ten folds"
_FILES = {NEGATIVE: "sentiment/mr/rt-polarity.neg.gz", POSITIVE: "sentiment/mr/rt-polarity.pos.gz"}
# With the recipe's own, nine thousand sentences would be learned in 250 steps, and fewer told right.
_FEW = {"epochs": 12, "patience": 12, "max_batch": 32}
OURS, REGRESSION, WORD_LIST = "LSTM after a language model", "regression on words and pairs", "VADER"


def main() -> None:
    """Train and measure each fold, print the means, and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("RNNSERVE_DATA"))
    parser.add_argument("--checkpoint", type=Path, required=True, help="of a run that has pre-trained")
    parser.add_argument("--folds", type=int, default=10, help="of these so many are run")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--docs", action="store_true", help="write the table into docs/your-data.md")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data names the folder of data sets; or set RNNSERVE_DATA")
    torch.set_num_threads(options.threads)
    recipe = SentimentRecipe.load(ReviewOptions(dataset="sst-imdb"), {}, options.data)
    started = pretrained(recipe, options.checkpoint)
    found: dict[str, list[float]] = {}
    for corpus in list(folds(sentences(Path(options.data)), recipe.settings.seed))[: options.folds]:
        for name, share in measured(recipe, copy.deepcopy(started), corpus).items():
            found.setdefault(name, []).append(share)
        print({name: f"{shares[-1]:.4f}" for name, shares in found.items()}, flush=True)
    figures = [
        Figure(name, float(np.mean(shares)), "accuracy", rounds=tuple(shares), group=TITLE)
        for name, shares in found.items()
    ]
    publish("folds", figures, {"folds": options.folds})
    if options.docs:
        marked = re.compile(r"(<!-- folds: .*?-->\n).*?(<!-- end of folds -->)", re.DOTALL)
        page = DOCS.read_text()
        DOCS.write_text(marked.sub(lambda match: f"{match[1]}{table(figures)}\n{match[2]}", page))


def sentences(data: Path) -> LabelledTexts:
    """All of MR."""
    whole = LabelledTexts([], [])
    for label, name in _FILES.items():
        lines = gzip.decompress((data / name).read_bytes()).decode("utf-8").splitlines()
        texts = [line.strip() for line in lines if line.strip()]
        whole += LabelledTexts(texts, [label] * len(texts))
    return whole


def folds(texts: LabelledTexts, seed: int, number: int = 10) -> Iterator[Corpus]:
    """Each tenth once as the test part, and the one after it as the validation part."""
    order = np.random.default_rng(seed).permutation(len(texts))
    parts = [order[at::number].tolist() for at in range(number)]
    for at in range(number):
        held_out = (at + 1) % number
        rest = [place for other, part in enumerate(parts) if other not in (at, held_out) for place in part]
        yield Corpus(
            TITLE,
            f"fold {at + 1}",
            texts.take(rest),
            texts.take(parts[held_out]),
            texts.take(parts[at]),
        )


def pretrained(recipe: SentimentRecipe, checkpoint: Path) -> Classifier:
    """The network after its time as a language model."""
    net = recipe.build_net()
    stage = recipe.before(net)
    assert stage is not None
    stage.fit(checkpoint, resume=True, quiet=True)
    return net


def measured(recipe: SentimentRecipe, net: Classifier, corpus: Corpus) -> dict[str, float]:
    """Accuracy on a fold by name."""
    own = recipe.on([corpus], **_FEW)
    report = fit(
        net,
        batches=own.batches,
        batches_per_epoch=own.batches_per_epoch,
        loss=own.loss,
        validate=own.validate,
        config=pick(LoopConfig, own.settings),
        quiet=True,
    )
    train, held_out, test = (
        encode(own.codec, part) for part in (corpus.train, corpus.validation, corpus.test)
    )
    regression = BagOfWords(train.pair, held_out.pair, own.codec.size)
    print(f"{corpus.split}: held out {1 - report.best_score:.4f}, epoch {report.best_epoch + 1}", flush=True)
    shares = {
        OURS: Verdicts.of(net, test).accuracy,
        REGRESSION: regression.accuracy(*test.pair),
    }
    if (said := vader(corpus.test.texts, sure=0.0)) is not None:
        shares[WORD_LIST] = hits(said, corpus.test)
    return shares


def hits(said: Sequence[str], texts: LabelledTexts) -> float:
    """Share of right labels."""
    right = [SENTIMENT_LABELS[label] for label in texts.labels]
    return sum(map(str.__eq__, said, right)) / len(right)


def table(figures: Sequence[Figure]) -> str:
    """Markdown: a line for each classifier."""
    lines = [f"| {TITLE} | accuracy | lowest and highest fold |", "|---|---:|---:|"]
    lines += [
        f"| {figure.name} | {figure.value:.1%} | {min(figure.rounds):.1%}, {max(figure.rounds):.1%} |"
        for figure in figures
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
