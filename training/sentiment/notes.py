"""What the model cards say besides the figures."""

from __future__ import annotations

USER_NOTES = (
    "Trained on labelled texts of the user's own. Figures are for a random tenth of them; texts "
    "of another kind, or another language, may be labelled worse."
)
NOTES = {
    "sst-imdb": (
        "Says whether an English text is negative, neutral or positive, best of all whether it praises a "
        "film. It learned from whole reviews (IMDb), from all phrases of the Stanford Sentiment Treebank "
        "with their grades, and from 30,000 short sentences that a grammar composes: negations, contrasts, "
        "plain statements, and faces such as :( and emoji (training/sentiment/composed.py). Reviews are "
        "never labelled neutral, so a long text hardly ever is. Of data with two labels the likelier of "
        "these two counts. Probabilities are calibrated on held-out texts, by one temperature and a bias for "
        "each label: the error is that of the likeliest label in 15 bins. Validation: 2,500 reviews held out "
        "of the IMDb training part, and the treebank's dev part. The published data repeat 123 reviews "
        "between IMDb's train and test parts, and 2 sentences between the treebank's; they were left as "
        "published."
    )
}
