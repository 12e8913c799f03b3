"""What the model cards say besides the figures."""

from __future__ import annotations

USER_NOTES = (
    "Trained on a text of the user's own. The model continues text in its manner; it knows no "
    "facts, and can repeat what it was trained on word for word."
)
NOTES = {
    "tinyshakespeare": (
        "A character model for demonstrations of streaming generation. It writes in the manner of "
        "Shakespeare's plays; spelling is mostly right, meaning is not. The figure is measured on the "
        "last 10 % of the text, read in order from the start row with the state carried through; the "
        "first 90 % trains, and its last twentieth chose the weights. The last plays have "
        "speakers whom the first do not know: their names cost three times as much a character as all else, "
        "since the network writes names that it knows. Dynamic evaluation (Krause et al. "
        "2018) lets the weights learn from what was read, which a served model never does. The text is in "
        "the public domain."
    ),
    "ptb": (
        "Suggests the words that come next in business news of 1989. It reads and writes words as this "
        "form of the Penn Treebank has them: no capitals, no punctuation, 'n' for every number, a space "
        "before each word. Words beyond the 10,000 are unknown when they are read, and never written. The "
        "perplexity is as in the papers: of the official test part, read in order with the state carried "
        "through, where unknown words and line ends count as words; the validation part chose the "
        "weights. Dynamic evaluation (Krause et al. 2018) lets the weights learn from what was read, "
        "which a served model never does. The text has no open licence and is not part of this."
    ),
    "names": (
        "Makes up first names, one per line: a line end begins and ends a name. Names of the United "
        "States' social security records are what it learned from, so it shares their mixture. The "
        "figure counts the end of a name as a character; the split is random by name, so the test "
        "names are unseen, though similar."
    ),
}
