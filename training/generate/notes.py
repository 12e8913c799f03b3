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
        "first 90 % trains, and its last twentieth chose the weights. In training the speakers of the "
        "plays got other names in every epoch, so that names are copied from the text before rather "
        "than known. The text is in the public domain."
    ),
    "names": (
        "Makes up first names, one per line: a line end begins and ends a name. Names of the United "
        "States' social security records are what it learned from, so it shares their mixture. The "
        "figure counts the end of a name as a character; the split is random by name, so the test "
        "names are unseen, though similar."
    ),
}
