"""What classifiers of texts make of negation, contrast, neutral statements and emoticons.

    python -m benchmarks.sentences --data DATA [--models models] [--docs]

Each sentence of tests/data/sentences.csv has one right label of three: positive, negative, neutral. A bundle
that knows no ``neutral`` is wrong on neutral sentences. Beside the bundles: a regression on words and word
pairs, trained on what the last bundle was trained on, in its tokens, with ``--data``; and VADER (Hutto &
Gilbert 2014), a list of words with rules, where vaderSentiment is installed. ``--docs`` writes the table
into docs/your-data.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.bundle.reader import Bundle, find_bundles, read_bundle
from app.features.text import TextCodec
from app.tasks.sentiment.spec import SentimentSpec
from benchmarks.report import Figure, publish
from training.data.download import DataStore
from training.graph_net import GraphNet
from training.sentiment.baselines import BagOfWords
from training.sentiment.data import Labelled, encode, load_reviews
from training.sentiment.measure import logits_of
from training.sentiment.reviews import SENTIMENT_LABELS, LabelledTexts

ROOT = Path(__file__).parent.parent
SENTENCES = ROOT / "tests/data/sentences.csv"
DOCS = ROOT / "docs/your-data.md"
KINDS = ("negation", "contrast", "neutral", "emoticon")
ALL = "all"
_TASK = SentimentSpec.model_fields["task"].default
# From which distance to zero its authors call a text positive or negative.
_VADER_SURE = 0.05


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text with its right label, and what makes it difficult."""

    text: str
    label: str
    kind: str


def main() -> None:
    """Label the sentences, print the table, and record the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("RNNSERVE_DATA"), help="folder of data sets"
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/your-data.md")
    options = parser.parse_args()
    sentences = read_sentences()
    bundles = classifiers(options.models)
    answers = {f"`{bundle.manifest.reference}`": labels_of(bundle, sentences) for bundle in bundles}
    if options.data is not None and bundles:
        answers["logistic regression on words and pairs"] = regression(
            bundles[-1], sentences, DataStore.open(Path(options.data))
        )
    if (said := vader([sentence.text for sentence in sentences])) is not None:
        answers["VADER, a list of words"] = said
    scores = {name: by_kind(sentences, labels) for name, labels in answers.items()}
    print(table(scores))
    figures = [
        Figure(f"{name.replace('`', '')}, {kind}", share, "share", group=name.replace("`", ""))
        for name, shares in scores.items()
        for kind, share in shares.items()
    ]
    publish("sentences", figures, {"sentences": len(sentences)})
    if options.docs:
        marked = re.compile(r"(<!-- sentences: .*?-->\n).*?(<!-- end of sentences -->)", re.DOTALL)
        page = DOCS.read_text()
        DOCS.write_text(marked.sub(lambda match: f"{match[1]}{table(scores)}\n{match[2]}", page))


def read_sentences(path: Path = SENTENCES) -> list[Sentence]:
    """The rows of a CSV with the columns ``text``, ``label`` and ``kind``."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Sentence(**row) for row in csv.DictReader(file, strict=True)]


def classifiers(models: Path) -> list[Bundle]:
    """The bundles of a models folder that tell positive from negative texts, by name and version."""
    bundles = [read_bundle(folder) for folder in find_bundles(models)]
    return [bundle for bundle in bundles if {"negative", "positive"} <= set(_names(bundle))]


def labels_of(bundle: Bundle, sentences: Sequence[Sentence]) -> list[str]:
    """The most probable label of each sentence."""
    names = _names(bundle)
    logits = logits_of(GraphNet(bundle), _encoded(bundle, sentences).tokens)
    return [names[best] for best in logits.argmax(axis=1).tolist()]


def regression(bundle: Bundle, sentences: Sequence[Sentence], store: DataStore) -> list[str]:
    """Labels by a regression on the reviews and phrases that the bundle's recipe trains on."""
    assert bundle.tokenizer is not None
    codec = TextCodec(bundle.tokenizer)
    corpora, _ = load_reviews(store, bundle.manifest.provenance.seed)
    train = _joined([encode(codec, corpus.train) for corpus in corpora])
    held_out = _joined([encode(codec, corpus.validation) for corpus in corpora])
    model = BagOfWords(train, held_out, codec.size)
    return [SENTIMENT_LABELS[label] for label in model.labels(_encoded(bundle, sentences).tokens).tolist()]


def vader(texts: Sequence[str], sure: float = _VADER_SURE) -> list[str] | None:
    """Labels by VADER; ``None`` where it is not installed."""
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ModuleNotFoundError:
        return None
    analyzer = SentimentIntensityAnalyzer()
    found = []
    for text in texts:
        compound = float(analyzer.polarity_scores(text)["compound"])
        found.append("neutral" if abs(compound) < sure else "positive" if compound > 0 else "negative")
    return found


def by_kind(sentences: Sequence[Sentence], labels: Sequence[str]) -> dict[str, float]:
    """Share of right labels of each kind, and of all sentences."""
    right = [
        (sentence.kind, sentence.label == label) for sentence, label in zip(sentences, labels, strict=True)
    ]
    shares = {}
    for kind in (*KINDS, ALL):
        hits = [hit for of, hit in right if kind in (of, ALL)]
        shares[kind] = sum(hits) / len(hits)
    return shares


def table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: a line for each classifier, a column for each kind."""
    lines = [f"| | {' | '.join((*KINDS, ALL))} |", "|---" + "|---:" * (len(KINDS) + 1) + "|"]
    for name, shares in scores.items():
        lines.append(f"| {name} | {' | '.join(f'{shares[kind]:.1%}' for kind in (*KINDS, ALL))} |")
    return "\n".join(lines)


def _names(bundle: Bundle) -> tuple[str, ...]:
    """Its labels; none for a bundle of another task."""
    manifest = bundle.manifest
    return manifest.spec_as(SentimentSpec).labels if manifest.task == _TASK else ()


def _encoded(bundle: Bundle, sentences: Sequence[Sentence]) -> Labelled:
    assert bundle.tokenizer is not None
    texts = LabelledTexts([sentence.text for sentence in sentences], [0] * len(sentences))
    return encode(TextCodec(bundle.tokenizer), texts)


def _joined(parts: Sequence[Labelled]) -> tuple[list[list[int]], list[int]]:
    return [text for part in parts for text in part.tokens], [
        label for part in parts for label in part.labels
    ]


if __name__ == "__main__":
    main()
