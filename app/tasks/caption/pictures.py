"""Picture files as what a network sees. Nothing is decoded before its size is known to be allowed.

file --upright, on white--> small [side, side, 3] --enlarged--> pixels [size, size, 3] --> [3, size, size]
"""

from __future__ import annotations

import base64
import binascii
import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput, Overloaded, UnsupportedMedia, over_limit

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
"""``[side, side, 3]``: red, green and blue."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8")
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/jpg", "application/octet-stream")
_ORIENTATION = 0x0112
_MIDDLE, _SCALE = np.float32(127), np.float32(128)
_MANY_PIXELS = 4_000_000
_TURN_S = 20.0
_turn = threading.Lock()


@dataclass(frozen=True, slots=True)
class Sight:
    """How a network sees pictures.

    Attributes:
        size: pixels of a side; pictures of other proportions are stretched.
        detail: they are reduced to so many first, where the network learned from none with finer detail.
        max_pixels: of a file; one with more is refused by its header.
    """

    size: int
    detail: int | None
    max_pixels: int

    def small(self, data: bytes, field: str) -> Pixels:
        """The first frame of a JPEG, PNG, WebP or GIF file, in no more pixels than the network sees.

        Raises:
            InvalidInput: it is no picture that is read, damaged, or too large.
            UnsupportedMedia: the package that reads pictures is not installed.
            Overloaded: too many large pictures are being decoded.
        """
        canvas = _webp_canvas(data)
        self._check_size(canvas, field)
        with _turn_for(canvas):
            picture = self._opened(data, field)
            self._check_size(picture.size, field)
            with _turn_for(None if canvas else picture.size):
                try:
                    return self._decoded(picture)
                except Exception as error:  # decoders fail in many ways on what is damaged
                    raise _unreadable(error, field) from None

    def pixels(self, small: Pixels) -> Pixels:
        """``[size, size, 3]`` of what :meth:`small` returned."""
        if len(small) == self.size:
            return small
        from PIL import Image

        return np.asarray(Image.fromarray(small).resize((self.size, self.size), Image.Resampling.BICUBIC))

    def seen(self, small: Pixels) -> NDArray[np.float32]:
        """What the network takes, ``[3, size, size]``."""
        return as_input(self.pixels(small))

    def _opened(self, data: bytes, field: str) -> Image.Image:
        try:
            from PIL import Image
        except ImportError:
            raise UnsupportedMedia("a picture", (), "image") from None
        try:
            return Image.open(io.BytesIO(data), formats=FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            text = f"the picture has far more pixels than the limit of {self.max_pixels}; make it smaller"
            raise over_limit(field, self.max_pixels, text) from None
        except Exception as error:  # as above
            raise _unreadable(error, field) from None

    def _check_size(self, size: tuple[int, int] | None, field: str) -> None:
        most = self.max_pixels
        if size is not None and size[0] * size[1] > most:
            has = f"{size[0]} x {size[1]} pixels, more than the limit of {most}"
            raise over_limit(field, most, f"the picture has {has}; make it smaller")

    def _decoded(self, picture: Image.Image) -> Pixels:
        from PIL import Image

        turns = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_270,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90,
        }
        side = self.detail or self.size
        # A JPEG can be decoded at an eighth, a quarter or half of its size, for as much less memory.
        picture.draft(None, (2 * side, 2 * side))
        picture.load()
        by = Image.Resampling.LANCZOS if self.detail else Image.Resampling.BICUBIC
        small = _eight_bit(picture).resize((side, side), by)
        turn = turns.get(_orientation(picture))
        if turn is not None:
            small = small.transpose(turn)
        if small.mode == "RGBA":
            small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
        return np.asarray(small.convert("RGB"))


def as_input(pixels: Pixels) -> NDArray[np.float32]:
    """Pixels ``[size, size, 3]`` to ``[3, size, size]``, about -1 to 1; exact."""
    return np.ascontiguousarray(((pixels.astype(np.float32) - _MIDDLE) / _SCALE).transpose(2, 0, 1))


def from_base64(text: str, field: str) -> bytes:
    """Also of a data URL. Raises InvalidInput."""
    _, comma, data = text[:100].partition(";base64,")
    try:
        return base64.b64decode(text[len(text[:100]) - len(data) :] if comma else text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(field, "this is not base64") from None


@contextmanager
def _turn_for(size: tuple[int, int] | None) -> Iterator[None]:
    """Large pictures are decoded one at a time, for the memory that they take; raises Overloaded."""
    if size is None or size[0] * size[1] < _MANY_PIXELS:
        yield
        return
    if not _turn.acquire(timeout=_TURN_S):
        raise Overloaded("too many large pictures are being decoded; try again later", retry_after_s=_TURN_S)
    try:
        yield
    finally:
        _turn.release()


def _eight_bit(picture: Image.Image) -> Image.Image:
    """A mode that can be resized; one with transparency keeps it."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if "transparency" in picture.info or "A" in picture.getbands():
        return picture.convert("RGBA")
    return picture if picture.mode in ("L", "RGB", "CMYK") else picture.convert("RGB")


def _orientation(picture: Image.Image) -> Any:
    """As a camera noted it; a damaged note is none."""
    try:
        return picture.getexif().get(_ORIENTATION)
    except Exception:  # as in small
        return None


def _webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header of a WebP file, which its decoder takes memory for on opening."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _unreadable(error: Exception, field: str) -> InvalidInput:
    # Pillow names the object in memory where it knows no format.
    told = "" if "BytesIO" in str(error) or not str(error) else f" ({str(error)[:100]})"
    return InvalidInput(
        field, f"the picture cannot be read{told}; {', '.join(FORMATS)} files are", allowed=[*FORMATS]
    )
