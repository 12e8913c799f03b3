"""What the model cards say."""

from __future__ import annotations

from training.sequence.surnames import NAME

NOTES = {
    NAME: (
        "Tells the language of a surname from its letters, among eighteen. Trained on the lists of PyTorch's "
        "tutorial: about half of the names are Russian, some languages have fewer than a hundred, and many "
        "names belong to several. So accuracy says little about rare languages; macro F1 gives each the same "
        "weight. Names that occur in the test part occur in no other. Not for decisions about people: "
        "a name is not an origin. Three settings were trained, and their figures on the test part were seen "
        "when this one was chosen, so the figures above are a little too good."
    )
}
USER_NOTES = "Trained on data of the user's own. Measured on groups, or on times, that training has not seen."
