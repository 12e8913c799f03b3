"""What the model cards say."""

from __future__ import annotations

from training.caption.settings import FLICKR8K

NOTES = {
    FLICKR8K: (
        "Says in one short English sentence what is to be seen in a photograph. It was trained on 6,000 "
        "pictures (Flickr8k, Hodosh et al. 2013), mostly of people and dogs outdoors, and knows little "
        "else: of other pictures it speaks as if they were such. It guesses at colours, numbers and what "
        "people do, and says man or woman, boy or girl by looks alone. The pictures had 128 pixels a "
        "side, so it sees no finer detail, and a larger picture is reduced to that before it is read. Not "
        "for use where a wrong caption does harm. The pictures are for non-commercial research and "
        "education, so these weights are too. The encoder is EfficientNet-Lite0 as trained on ImageNet "
        "(Apache-2.0), not changed. BLEU is by sacrebleu (no smoothing, closest reference) on lower-cased "
        "words without marks, against five captions; BLEU rewards bland captions, so CIDEr-D and the "
        "share of different captions stand beside it. The length penalty was chosen on the validation part."
    )
}
USER_NOTES = (
    "Trained on pictures of the user's own. Measured on a random part of them that training has not seen."
)
