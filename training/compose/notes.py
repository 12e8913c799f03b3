"""What the model cards say."""

from __future__ import annotations

from training.compose.settings import CHORALES, NOTTINGHAM, QUARTERS

_FRAMES = (
    "Made to be compared with published figures: a step is a set of notes, written from the top. "
    "Figures are exact by the chain rule over the notes of a step."
)
NOTES = {
    CHORALES: (
        "Writes and harmonises chorales for four voices on a grid of sixteenths, after 229 of J. S. Bach. "
        "The soprano is written a beat ahead of the other voices, so they know what comes. A note struck "
        "again cannot be told from one that is held: the data does not tell it. Figures are given the length "
        "of a piece, as requests give it. For sketches and exercises; it knows no words, fermatas or keys."
    ),
    QUARTERS: _FRAMES,
    NOTTINGHAM: _FRAMES,
}
USER_NOTES = "Trained on scores of the user's own. Measured on pieces that training has not seen."
