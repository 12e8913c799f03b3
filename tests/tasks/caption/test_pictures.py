"""Picture files to pixels: in every form a picture is the same, and nothing hostile is decoded."""

from __future__ import annotations

import io
import random
import struct
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from app.core.errors import InvalidInput, Overloaded, UnsupportedMedia
from app.tasks.caption import pictures
from app.tasks.caption.pictures import Sight, as_input, from_base64
from tests.tasks.caption.network import as_file, picture

SIGHT = Sight(64, None, 1_000_000)
TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How the pixels of a file lie, by what its EXIF says; turned back, they are upright."""


def small(data: bytes, sight: Sight = SIGHT) -> np.ndarray:
    return sight.small(data, "body").astype(np.int64)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_turned_picture_is_upright(kind: str, orientation: int) -> None:
    """As it was before it was turned, to the bit where the file loses nothing."""
    upright = picture(0, 64, 64)
    turn = TURNS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    quality = (
        {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    )
    turned = as_file(upright if turn is None else upright.transpose(turn), kind, exif=exif, **quality)
    difference = np.abs(small(turned) - small(as_file(upright)))
    assert difference.mean() < 8 if kind == "JPEG" else not difference.any()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_note_of_a_camera_is_passed_over() -> None:
    data = bytearray(as_file(picture(0), "JPEG", exif=Image.Exif()))
    broken = bytes(data[:2]) + b"\xff\xe1\x00\x10Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(data[2:])
    assert np.array_equal(small(broken), small(bytes(data)))


def test_colours_of_every_mode_are_seen() -> None:
    """Grey, black and white, palettes, 16 bits, CMYK; what is transparent is white."""
    colours = picture(1)
    grey = colours.convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) << 8)
    assert np.array_equal(small(as_file(grey)), small(as_file(grey.convert("RGB"))))
    assert np.array_equal(small(as_file(wide)), small(as_file(grey)))
    assert np.array_equal(small(as_file(grey.convert("1"))), small(as_file(grey.convert("1").convert("L"))))
    palette = colours.quantize(24)
    assert np.array_equal(small(as_file(palette)), small(as_file(palette.convert("RGB"))))
    assert (
        np.abs(small(as_file(colours.convert("CMYK"), "JPEG", quality=95)) - small(as_file(colours))).mean()
        < 8
    )
    clear = colours.convert("RGBA")
    clear.putalpha(Image.fromarray(np.repeat(np.array([0, 255], np.uint8), 48)[None].repeat(64, 0)))
    found = small(as_file(clear))
    assert (found[:, :28] == 255).all()
    assert np.array_equal(found[:, 36:], small(as_file(colours))[:, 36:])
    for mode in ("LA", "P"):
        assert (small(as_file(clear.convert(mode)))[:, :28] == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_the_first_frame_counts(kind: str) -> None:
    frames = [picture(seed).quantize(24).convert("RGB") for seed in range(3)]
    more = {"lossless": True} if kind == "WEBP" else {}
    moving = as_file(frames[0], kind, save_all=True, append_images=frames[1:], **more)
    assert np.abs(small(moving) - small(as_file(frames[0]))).mean() < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 999), (999, 1), (3, 2)])
def test_pictures_of_any_shape_are_seen(size: tuple[int, int]) -> None:
    assert small(as_file(Image.new("RGB", size, "red"))).tolist() == [[[255, 0, 0]] * 64] * 64


def test_fine_detail_is_taken_away_where_training_had_none() -> None:
    """A large picture is what its reduced copy is."""
    sight = Sight(64, 16, 1_000_000)
    reduced = picture(2, 400, 400).resize((16, 16), Image.Resampling.LANCZOS)
    found = sight.small(as_file(picture(2, 400, 400)), "body")
    assert np.array_equal(found, np.asarray(reduced))
    assert np.array_equal(sight.seen(found), sight.seen(sight.small(as_file(reduced), "body")))
    assert sight.seen(found).shape == (3, 64, 64)


def test_what_the_network_takes_is_exact() -> None:
    """Every pixel has a number of its own."""
    values = as_input(np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3))
    assert values.dtype == np.float32
    assert len(np.unique(values)) == 256
    assert (values.min(), values.max()) == (-127 / 128, 1)


def _png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 99) + b"IDAT" + bytes(9)


def _jpeg(width: int, height: int) -> bytes:
    data = as_file(Image.new("RGB", (8, 8)), "JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def _gif(width: int, height: int) -> bytes:
    data = as_file(Image.new("P", (8, 8)), "GIF")
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


def _webp(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + sizes
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


@pytest.mark.parametrize("made", [_png, _jpeg, _gif, _webp])
@pytest.mark.parametrize("side", [1_100, 20_000, 65_000])
def test_too_many_pixels_are_refused_by_the_header(made: Callable[[int, int], bytes], side: int) -> None:
    """There are no pixels in the file, so decoding it would say something else."""
    data = made(side, side)
    with pytest.raises(InvalidInput) as refused:
        SIGHT.small(data, "images.3")
    assert "pixels" in refused.value.message
    assert (refused.value.field, refused.value.allowed) == ("images.3", {"max": 1_000_000})


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_file_of_either_kind_says_its_size(lossless: bool) -> None:
    with pytest.raises(InvalidInput, match="120 x 90 pixels"):
        Sight(64, None, 10_000).small(as_file(picture(0, 120, 90), "WEBP", lossless=lossless), "body")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_truncated_file_is_refused(kind: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    data = as_file(noise, kind)
    with pytest.raises(InvalidInput) as refused:
        SIGHT.small(data[: round(share * len(data))], "body")
    assert "cannot be read" in refused.value.message
    assert refused.value.allowed == ["JPEG", "PNG", "WEBP", "GIF"]


@pytest.mark.parametrize(
    "data", [b"", b"x", b"<svg/>", b"BM" + bytes(60), b"\x89PNG\r\n\x1a\n", b"%PDF-1.7\n"]
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    """Formats that the library knows and this service does not, among them."""
    with pytest.raises(InvalidInput, match="cannot be read"):
        SIGHT.small(data, "body")


def test_other_formats_are_refused_even_whole() -> None:
    for kind in ("BMP", "TIFF", "PPM", "ICO"):
        with pytest.raises(InvalidInput, match="cannot be read"):
            SIGHT.small(as_file(picture(0), kind), "body")


def test_damage_is_refused_or_seen_and_nothing_else() -> None:
    """Thousands of damaged files of all formats: pixels or InvalidInput."""
    chance = random.Random(0)
    frames = [picture(seed) for seed in range(2)]
    files = [as_file(frames[0], kind) for kind in ("PNG", "JPEG", "WEBP", "GIF")]
    files += [as_file(frames[0], kind, save_all=True, append_images=frames[1:]) for kind in ("GIF", "WEBP")]
    files += [as_file(frames[0].convert("CMYK"), "JPEG"), as_file(frames[0].quantize(8))]
    refused = 0
    for turn in range(1600):
        data = bytearray(files[turn % len(files)])
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            assert small(bytes(data)).shape == (64, 64, 3)
        except InvalidInput:
            refused += 1
    assert 100 < refused < 1600


def test_large_pictures_wait_for_each_other_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones pass."""
    monkeypatch.setattr(pictures, "_MANY_PIXELS", 5_000)
    monkeypatch.setattr(pictures, "_TURN_S", 0.01)
    with pictures._turn:
        assert small(as_file(picture(0, 40, 40))).shape == (64, 64, 3)
        with pytest.raises(Overloaded, match="large pictures"):
            SIGHT.small(as_file(picture(0, 100, 100)), "body")
    assert small(as_file(picture(0, 100, 100))).shape == (64, 64, 3)


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UnsupportedMedia, match=r"'\.\[image\]'"):
        SIGHT.small(b"x", "body")


def test_base64_is_read_with_and_without_what_a_browser_puts_before_it() -> None:
    assert from_base64("AAEC", "images.0") == b"\0\1\2"
    assert from_base64("data:image/png;base64,AAEC", "images.0") == b"\0\1\2"
    for text in ("AAE", "AA EC", "\u00e4", "data:image/png,AAEC"):
        with pytest.raises(InvalidInput, match="base64"):
            from_base64(text, "images.0")


def test_a_file_is_read_from_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its bytes say, no other file is opened."""
    monkeypatch.setattr("builtins.open", lambda *given, **more: pytest.fail("a file was opened"))
    monkeypatch.setattr(io, "open", lambda *given, **more: pytest.fail("a file was opened"))
    with pytest.raises(InvalidInput):
        SIGHT.small(b"/etc/passwd", "body")
    assert small(as_file(picture(0))).shape == (64, 64, 3)
