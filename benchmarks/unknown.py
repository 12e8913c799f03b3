"""How often ``POST /sentiment`` warns of texts: of English ones, of other languages, of gibberish.

    python -m benchmarks.unknown --data DATA [--models models] [--docs]

The rule is in app/tasks/sentiment/doubt.py. Its threshold was chosen on these texts, none of which is in a
test split. ``--docs`` writes the table into docs/your-data.md.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.features.text import TextCodec
from app.tasks.sentiment.doubt import count_unknown, doubted
from benchmarks.report import Figure, publish
from benchmarks.sentences import classifiers
from training.data.download import DataStore
from training.sentiment.data import load_reviews

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs/your-data.md"
ENGLISH, OTHER = "English", "not English"
_MR = "sentiment/mr/rt-polarity.{}.gz"
_CAPTIONS = "translation/multi30k/raw/val.{}.gz"
_WORDS_OF_A_PART = 4


def main() -> None:
    """Count the warnings, print the table, and record the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("RNNSERVE_DATA"), help="folder of data sets"
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/your-data.md")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data names the folder of data sets; or set RNNSERVE_DATA")
    bundle = classifiers(options.models)[-1]
    assert bundle.tokenizer is not None
    codec = TextCodec(bundle.tokenizer)
    figures = [
        Figure(name, warned(codec, texts), "share", group=kind)
        for kind, found in texts_by_kind(Path(options.data)).items()
        for name, texts in found.items()
    ]
    publish("unknown", figures, {"model": bundle.manifest.reference})
    if options.docs:
        marked = re.compile(r"(<!-- unknown: .*?-->\n).*?(<!-- end of unknown -->)", re.DOTALL)
        page = DOCS.read_text()
        DOCS.write_text(marked.sub(lambda match: f"{match[1]}{table(figures)}\n{match[2]}", page))


def texts_by_kind(data: Path) -> dict[str, dict[str, list[str]]]:
    """Texts by name, English ones and others."""
    (treebank, imdb, _), _ = load_reviews(DataStore.open(data), seed=0)
    captions = {language: _lines(data / _CAPTIONS.format(language)) for language in ("en", "de", "fr")}
    short = f"in parts of {_WORDS_OF_A_PART} words"
    english = {
        "sentences of the treebank, dev": treebank.validation.texts,
        "IMDb reviews held out of training": imdb.validation.texts,
        "MR, sentences of reviews": [
            line for part in ("pos", "neg") for line in _lines(data / _MR.format(part))
        ],
        "captions (Multi30k, validation)": captions["en"],
        f"the same {short}": parts(captions["en"]),
    }
    other = {
        "German captions": captions["de"],
        f"German captions {short}": parts(captions["de"]),
        "French captions": captions["fr"],
        f"French captions {short}": parts(captions["fr"]),
        "random letters": gibberish(2000),
    }
    return {ENGLISH: english, OTHER: other}


def parts(texts: Sequence[str]) -> list[str]:
    """Texts cut into pieces of a few words; the rest of each is left out."""
    size = _WORDS_OF_A_PART
    return [
        " ".join(words[at : at + size])
        for words in (text.split() for text in texts)
        for at in range(0, len(words) - size + 1, size)
    ]


def gibberish(num: int) -> list[str]:
    """Texts of 3 to 20 words of 2 to 10 letters, by chance."""
    chance = np.random.default_rng(0)
    letters = np.array(list(string.ascii_lowercase))
    return [
        " ".join(
            "".join(chance.choice(letters, chance.integers(2, 11))) for _ in range(chance.integers(3, 21))
        )
        for _ in range(num)
    ]


def warned(codec: TextCodec, texts: Sequence[str]) -> float:
    """Share of the texts with a warning."""
    encoded = [ids for text in texts if (ids := codec.encode(text))]
    return sum(doubted(count_unknown(codec, ids), len(ids)) for ids in encoded) / len(encoded)


def table(figures: Sequence[Figure]) -> str:
    """Markdown: a line for each set of texts."""
    lines = ["| | texts | with a warning |", "|---|---|---:|"]
    lines += [f"| {figure.group} | {figure.name} | {figure.value:.2%} |" for figure in figures]
    return "\n".join(lines)


def _lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


if __name__ == "__main__":
    main()
