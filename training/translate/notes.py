"""What the model cards say."""

from __future__ import annotations

from training.translate.settings import MULTI30K

NOTES = {
    MULTI30K: (
        "Translates captions of pictures: one plain sentence of what is to be seen, with people, animals, "
        "clothes, streets and sport. It was trained on 29,000 captions (Multi30k, Elliott et al. 2016) and "
        "nothing else, so it guesses at news, letters, manuals, names and numbers, and writes fluent "
        "nonsense where it guesses. It was trained on two CPU cores, shared with other work; an LSTM stands "
        "in place of a GRU, since it alone has a fast kernel for bfloat16 there. The first eight of sixteen "
        "epochs ran with the learning rates of a run of 26. BLEU with Moses tokens is what papers on these "
        "data give; the line with tok:13a is of raw text, as a user gets it. The data state no licence: for "
        "research."
    )
}
USER_NOTES = (
    "Trained on sentences of the user's own. Measured on a random part of them that training has not seen."
)
