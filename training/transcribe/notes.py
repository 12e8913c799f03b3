"""What the model cards say."""

from __future__ import annotations

from training.transcribe.settings import DIGITS, YESNO

NOTES = {
    DIGITS: (
        "Writes down English digits, spoken one by one or in a row. Trained on six speakers of the Free "
        "Spoken Digit Dataset (CC BY-SA 4.0), whose takes are joined to strings with gaps, and changed in "
        "pace, frequencies, colour, level and noise. What it is worth for a voice that it has never heard is "
        "told by the figures of speakers held out: each is the mean of three runs of the same recipe without "
        "that speaker, which differ by up to eight points. "
        "The recipe was chosen with george held out, so the figures flatter it for him; an earlier form of "
        "it was measured on the official test part as well. The strings are composed of single takes too, "
        "half of them with noise of 15 to 35 dB, so they say little about fluent speech. Other words and "
        "other languages are heard as digits. It reads 8 kHz, as a telephone does."
    ),
    YESNO: (
        "Writes down yes and no, eight words a sound, as one speaker says them (OpenSLR 1). An example of "
        "how little is needed for a small vocabulary and one voice; it says nothing about another voice."
    ),
}
USER_NOTES = (
    "Trained on sounds of the user's own. Measured on sounds, or speakers, that training has not heard."
)
