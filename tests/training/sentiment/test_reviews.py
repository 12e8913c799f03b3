"""Reviews, trees and labelled CSVs: small files in the published layouts."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from pathlib import Path

import pytest

from app.core.errors import DataError
from training.sentiment.labelled_csv import read_labelled_csv, split_labelled
from training.sentiment.reviews import (
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    LabelledTexts,
    binary_sentences,
    graded_phrases,
    parse_tree,
    read_imdb,
    read_trees,
)

TREE = "(3 (2 (2 The) (2 film)) (3 (1 (2 is) (1 n't)) (4 (2 ``) (3 fun\\/odd))))"


def archive(path: Path, members: dict[str, str]) -> Path:
    """A gzipped tar of the given texts."""
    with tarfile.open(path, "w:gz") as file:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            data = text.encode()
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def test_reviews_are_read_by_split_and_class(tmp_path: Path) -> None:
    """Unlabelled reviews and other members are passed over, and the order is that of the names."""
    path = archive(
        tmp_path / "reviews.tar.gz",
        {
            "aclImdb/train/pos/1_9.txt": "Great \u00e9!",
            "aclImdb/train/neg/0_2.txt": "Bad",
            "aclImdb/train/unsup/0_0.txt": "Unknown",
            "aclImdb/test/neg/0_1.txt": "Worse",
            "aclImdb/README": "about",
        },
    )
    train, test = read_imdb(path)
    assert (train.texts, train.labels) == (["Bad", "Great \u00e9!"], [NEGATIVE, POSITIVE])
    assert (test.texts, test.labels) == (["Worse"], [0])


def test_an_archive_without_reviews_is_an_error(tmp_path: Path) -> None:
    """So is a file that is no archive."""
    with pytest.raises(DataError, match="holds no labelled"):
        read_imdb(archive(tmp_path / "empty.tar.gz", {"a.txt": "a"}))
    (tmp_path / "noise.tar.gz").write_bytes(b"noise")
    with pytest.raises(DataError, match="cannot read the reviews"):
        read_imdb(tmp_path / "noise.tar.gz")


def test_every_node_of_a_tree_is_a_phrase() -> None:
    """Leaves, inner nodes and the root, with the treebank's spelling undone."""
    phrases = parse_tree(TREE)
    assert [(phrase.text, phrase.grade) for phrase in phrases] == [
        ("The", 2),
        ("film", 2),
        ("The film", 2),
        ("is", 2),
        ("n't", 1),
        ("is n't", 1),
        ('"', 2),
        ("fun/odd", 3),
        ('" fun/odd', 4),
        ("is n't \" fun/odd", 3),
        ("The film is n't \" fun/odd", 3),
    ]
    assert [phrase.is_sentence for phrase in phrases] == [False] * 10 + [True]


@pytest.mark.parametrize("line", ["(3 (2 a)", "3 a)", "(9 a)", "(x a)", "(2 a) (2 b)", "()"])
def test_a_line_that_is_not_a_tree_is_an_error(tmp_path: Path, line: str) -> None:
    """The message names the line."""
    path = tmp_path / "trees.txt.gz"
    path.write_bytes(gzip.compress(f"{TREE}\n{line}\n".encode()))
    with pytest.raises(DataError, match="line 2"):
        read_trees(path)


def test_sentences_are_positive_or_negative() -> None:
    """Grades 0 and 1 are negative, 3 and 4 positive, 2 is left out; repeats are kept."""
    lines = [TREE, TREE, TREE.replace("(3", "(2", 1), TREE.replace("(3", "(0", 1)]
    sentences = binary_sentences([phrase for line in lines for phrase in parse_tree(line)])
    assert sentences.labels == [POSITIVE, POSITIVE, NEGATIVE]
    assert set(sentences.texts) == {"The film is n't \" fun/odd"}


def test_phrases_are_graded_once_each() -> None:
    """Strong grades are certain, others less so, sentences come again."""
    phrases = graded_phrases(parse_tree(TREE) + parse_tree(TREE))
    found = dict(zip(phrases.texts, zip(phrases.labels, phrases.confidence, strict=True), strict=True))
    assert found["is n't"] == (NEGATIVE, 0.9)
    assert found['" fun/odd'] == (POSITIVE, 1.0)
    assert found["The film"] == (NEUTRAL, 0.9)
    sentence = max(phrases.texts, key=len)
    assert phrases.texts.count(sentence) > phrases.texts.count("is n't") == 1


def test_taking_some_keeps_labels_and_confidence_together() -> None:
    """In the order asked for."""
    assert LabelledTexts(["a", "b", "c"], [0, 1, 1], [0.5, 0.8, 1.0]).take([2, 0]) == LabelledTexts(
        ["c", "a"], [1, 0], [1.0, 0.5]
    )
    assert LabelledTexts(["a", "b"], [0, 1]).take([1]) == LabelledTexts(["b"], [1])


def test_texts_that_are_joined_keep_how_sure_they_are() -> None:
    """Those of which nothing is said are certain."""
    both = LabelledTexts(["a"], [0], [0.9]) + LabelledTexts(["b", "c"], [1, 2])
    assert both == LabelledTexts(["a", "b", "c"], [0, 1, 2], [0.9, 1.0, 1.0])


def test_a_csv_may_have_any_labels(tmp_path: Path) -> None:
    """Quoted line breaks belong to the text, blank texts are left out, labels are sorted."""
    path = tmp_path / "mail.csv"
    path.write_text(
        'id,body,kind\n1,"Win, now\n!",spam\n2,  ,ham\n3,Hello,ham\n4,Bye,ham\n', encoding="utf-8-sig"
    )
    names, data = read_labelled_csv(path, "body", "kind")
    assert names == ("ham", "spam")
    assert (data.texts, data.labels) == (["Win, now\n!", "Hello", "Bye"], [1, 0, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,other\na,b\n", "--label: the CSV has no column 'label'; allowed: text, other"),
        (b"text,label\na,x\nb,\n", "line 3: the label is empty"),
        (
            b"text,label\na,x\ngood, but long,y\n",
            "line 3 has 3 cells, but the header has 2 columns; .* quoted",
        ),
        (b"label,text\nx,a\ny,good, but long\n", "line 3 has 3 cells, but the header has 2 columns"),
        (b"text,label\na,x\nb\n", "line 3 has 1 cells, but the header has 2 columns"),
        (b"text,label\na,x\nb,x\n", "has 1 labels; allowed: 2 to 1000"),
        (b"text,label\n\xff,x\n", "the CSV is not UTF-8: byte 11 .* iconv -f WINDOWS-1252"),
        (b"", "the CSV is empty"),
    ],
)
def test_a_csv_that_cannot_be_used_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    """The column, the line or the limit is named."""
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_labelled_csv(path, "text", "label")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_spreadsheets_of_other_countries_write_is_read(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    """Another delimiter, whatever punctuation the texts have."""
    path = tmp_path / "urteile.csv"
    rows = [
        ("text", "urteil"),
        ("Schön, sehr gut; gern wieder!", "gut"),
        ('"Naja" | geht so\tnicht', "schlecht"),
    ]
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    names, data = read_labelled_csv(path, "text", "urteil")
    assert names == ("gut", "schlecht")
    assert data.texts == [text for text, _ in rows[1:]]


def test_empty_cells_and_lines_at_the_end_are_nothing(tmp_path: Path) -> None:
    """As spreadsheets write them."""
    path = tmp_path / "mail.csv"
    path.write_text("text,label\na,x,\nb,y,,\n\n,\n")
    names, data = read_labelled_csv(path, "text", "label")
    assert (names, data.texts, data.labels) == (("x", "y"), ["a", "b"], [0, 1])


def test_every_label_is_in_every_part() -> None:
    """The split keeps proportions, repeats by seed, and loses no text."""
    data = LabelledTexts([f"text {index}" for index in range(55)], [0] * 50 + [1] * 5)
    parts = split_labelled(("a", "b"), data, seed=4)
    assert [len(part) for part in parts] == [43, 6, 6]
    assert all(set(part.labels) == {0, 1} for part in parts)
    assert sorted(text for part in parts for text in part.texts) == sorted(data.texts)
    assert split_labelled(("a", "b"), data, seed=4) == parts
    assert split_labelled(("a", "b"), data, seed=5) != parts


def test_a_label_with_too_few_texts_is_named() -> None:
    """Two texts cannot be in three parts."""
    with pytest.raises(DataError, match="label 'b' has 2 texts"):
        split_labelled(("a", "b"), LabelledTexts(["x"] * 7, [0] * 5 + [1] * 2), seed=0)
