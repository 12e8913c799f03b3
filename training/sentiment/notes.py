"""What the model cards say besides the figures."""

from __future__ import annotations

USER_NOTES = (
    "Trained on labelled texts of the user's own. Figures are for a random tenth of them; texts "
    "of another kind, or another language, may be labelled worse."
)
NOTES = {
    "sst-imdb": (
        "Says whether an English text about a film is positive or negative. It learned from whole "
        "reviews (IMDb) and from phrases of sentences (Stanford Sentiment Treebank), so short and "
        "long texts both work; texts about other things are labelled worse, and neutral texts get one "
        "of the two labels. Validation: 2,500 reviews held out of the IMDb training part, and the "
        "treebank's dev part. The published data repeat 123 reviews between IMDb's train and test "
        "parts, and 2 sentences between the treebank's; they were left as published."
    )
}
