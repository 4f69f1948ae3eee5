"""One picture file as the square of pixels that is kept of it; what cannot be one is refused with a reason."""

from __future__ import annotations

import io
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tlcore.data.own.kept import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

HAS_HEIF = find_spec("pillow_heif") is not None
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", *(("HEIF",) if HAS_HEIF else ()))
"""Only these of Pillow's many readers are ever asked: the others are rarely used and rarely tested."""
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"),
    *((".heic", ".heif") if HAS_HEIF else ()),
)
MOST_BYTES = 50_000_000
MOST_PIXELS = 50_000_000
MOST_JPEG_PIXELS = 120_000_000
"""A JPEG is decoded at a fraction of its size, and telephones make large ones."""
LEAST_SIDE = 8
_WANTED = ", ".join(name for name in FORMATS if name != "HEIF") + (" or HEIC" if HAS_HEIF else "")


class Refused(Exception):  # noqa: N818 - not an error of the program: one file is left out, the others go on
    """A file that is left out; the message ends a sentence that begins with its name."""


def square(data: bytes) -> NDArray[np.uint8]:
    """Read a picture: upright, on white, the shorter side scaled to `SIDE`, its middle.

    Args:
        data: The file.

    Returns:
        Shape (SIDE, SIDE, 3).

    Raises:
        Refused: If it is no picture, damaged, too small or too large.
    """
    if not data:
        raise Refused("is empty")
    if len(data) > MOST_BYTES:
        raise Refused(f"is larger than {MOST_BYTES // 1_000_000} MB")
    _use_heif()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image)
            # Half as many pixels again as needed: what is left to the filter below decides how good the picture is.
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            return _fitted(image)
    except Refused:
        raise
    except UnidentifiedImageError:
        raise Refused(_what_else(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refused(_too_large(MOST_PIXELS)) from None
    except MemoryError:
        raise Refused("needs too much memory to open: save it smaller") from None
    except Exception as error:  # a decoder that is fed damaged or hostile bytes raises anything
        words = str(error).lower()
        if "truncated" in words or "unexpected end" in words or isinstance(error, EOFError):
            raise Refused("is cut off: copy it again") from None
        raise Refused("is damaged or of an unusual kind: save it as JPEG or PNG") from None


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if min(width, height) < LEAST_SIDE:
        raise Refused(f"is too small ({width}×{height} pixels): {LEAST_SIDE} a side are the least")
    most = MOST_JPEG_PIXELS if image.format in ("JPEG", "MPO") else MOST_PIXELS
    if width * height > most:
        raise Refused(_too_large(most))


def _too_large(most: int) -> str:
    return f"has more than {most // 1_000_000} million pixels: save it smaller"


def _fitted(image: Image.Image) -> NDArray[np.uint8]:
    """The first frame of an opened picture, whatever its colours are written in."""
    plain = ImageOps.exif_transpose(_plain(image))
    fitted = ImageOps.fit(plain, (SIDE, SIDE), Image.Resampling.LANCZOS)
    if fitted.mode == "RGBA":
        white = Image.new("RGBA", fitted.size, "white")
        fitted = Image.alpha_composite(white, fitted).convert("RGB")
    return np.asarray(fitted)


def _plain(image: Image.Image) -> Image.Image:
    """A picture as RGB, or as RGBA where some of it is transparent."""
    if image.mode.startswith(("I", "F")):  # more than 8 bits of grey, which `convert` would clip to white
        values = np.asarray(image, dtype=np.float64)
        low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (values.min(), values.max())
        # Numbers of 32 bits have no white of their own: the brightest is it.
        grey = (values - low) * (255 / max(float(high - low), 1e-9))
        converted = Image.fromarray(np.rint(grey).clip(0, 255).astype(np.uint8)).convert("RGB")
        converted.info = image.info  # tells which side is up
        return converted
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _what_else(data: bytes) -> str:
    """Name what was given in place of a picture, where the first bytes tell."""
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"heif", b"msf1", b"avif"):
        return "is a HEIC or AVIF picture, which is not read here: save it as JPEG"
    if b"<svg" in start or start.startswith(b"<?xml"):
        return "is a drawing (SVG), not a picture of pixels: export it as PNG"
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "is a web page, not a picture"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b")):
        return "is an archive inside of the archive: unpack it first"
    if data.startswith((b"MZ", b"\x7fELF", b"#!", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")):
        return "is a program, not a picture"
    if data.startswith(b"%PDF"):
        return "is a PDF, not a picture: export it as PNG"
    return f"is not a picture that can be read: {_WANTED} can"


def _use_heif() -> None:
    if HAS_HEIF:  # it is no requirement: whoever installs it can use telephones' pictures as they are
        import_module("pillow_heif").register_heif_opener()
