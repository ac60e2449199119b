"""Single pictures as uint8 RGB arrays, whatever they are stored as, and nothing executed for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media import heif
from affect_mllm.media.container import check_file, is_still
from affect_mllm.types import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# Pillow would also start Ghostscript for EPS, and has decoders that nobody keeps.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM", "JPEG2000", "TGA", "HEIF")
MOST_PIXELS = 90_000_000  # decoding takes up to 25 bytes each
ORIENTATION, SWAPPED = 0x0112, (5, 6, 7, 8)  # EXIF 2.32, 4.6.4: rows are columns
SIXTEEN_BITS = ("PPM", "PNG")  # formats whose mode `I` reaches 65535


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """A picture as uint8 [H, W, 3] RGB, upright (EXIF applied), transparency on white.

    16 bits are scaled to 8. DataError when the file is not a picture, is incomplete, has more than
    90 megapixels or values without a scale.
    """
    from PIL import Image

    path = Path(path)
    check_file(path)
    heif.admit(path)
    Image.init()
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            check_pixels(path, *image.size)
            return _rgb(path, image)
    except DataError:
        raise
    except Exception as error:  # decoders of many hands raise whatever they like
        raise _unreadable(path, error) from error


def picture_size(path: str | Path) -> tuple[int, int]:
    """Height and width of what `read_image` gives, from the file's header where it has them.

    DataError when the file is not a picture; one that is incomplete is not noticed.
    """
    from PIL import Image

    path = Path(path)
    check_file(path)
    if is_still(path):  # these may be turned by boxes of their own
        height, width = read_image(path).shape[:2]
        return height, width
    Image.init()
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            width, height = image.size
            check_pixels(path, width, height)
            turned = image.getexif().get(ORIENTATION, 1) in SWAPPED
            told = image.format != "TIFF"  # of which it depends on Pillow's version
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error
    if turned and not told:
        height, width = read_image(path).shape[:2]
        return height, width
    return (width, height) if turned else (height, width)


def check_pixels(path: Path, width: int, height: int) -> None:
    """DataError for a picture that takes more memory than is kept for one."""
    if width * height > MOST_PIXELS:
        raise DataError(
            str(path),
            f"{width} × {height} pixels",
            expected=f"at most {MOST_PIXELS / 1e6:.0f} megapixels",
            fix="make it smaller",
        )


def _rgb(path: Path, image: Picture) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    mode = upright.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in SIXTEEN_BITS):
        # PIL would clip 16-bit grey at 255 instead of scaling it.
        grey = (np.asarray(upright) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if mode in ("I", "F"):
        raise DataError(
            str(path),
            f"a picture of {'floats' if mode == 'F' else '32-bit numbers'}, whose white is unknown",
            expected="8 or 16 bits",
            fix="scale it, and write it as png",
        )
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        upright = Image.alpha_composite(white, rgba)
    return np.array(upright.convert("RGB"))


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return DataError(
        str(path),
        f"cannot be read as a picture ({reason})",
        expected="a complete jpg or png",
        fix="fetch it again, or give a video as `video` and sound as `audio`",
    )
