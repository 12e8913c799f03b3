"""Flickr8k: what five people say of each picture (Hodosh et al. 2013); pictures reduced to 128 x 128."""

from __future__ import annotations

FLICKR8K = {
    "images_128.zip": "428696e517a21700768c86ed906174a09c8d15e39009c2fa0d62d4c494be94a6",
    "Flickr8k.token.txt.gz": "1e1f3a371ba1a1bf742e6930521c037e046b2bf3fcc2390ba8405e0301ed7689",
    "Flickr_8k.trainImages.txt": "e330ddd5156a4c2d2e2b67bc587e70e588f2d132bd8a10dc54dcb71e58115d8e",
    "Flickr_8k.devImages.txt": "18ba829f47f6df1cb830bf7f0506e2ddf333818925299babbd1bbcaf50fdc504",
    "Flickr_8k.testImages.txt": "c0924146c131458ceba45da59670fe9520eadce1e5cafffa16a817672a9b1f17",
}
"""sha256 of what each file holds, by its name."""
