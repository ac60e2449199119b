"""What a checkpoint was given of a clip: faces, frames, the waveform, and what was missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from affect_mllm.eval.report.charts import waveform
from affect_mllm.eval.report.clips import jpeg
from affect_mllm.tools.page.looked import SOURCE, Looked

RATE_HZ = 16_000
TITLES = {
    "face": "Faces that the model saw",
    "frame": "Frames that the model saw",
    "image": "Picture that the model saw",
    SOURCE: "Frames in which faces were looked for",
}


def what_was_read(looked: Looked) -> Markup:
    """The file's name, strips of pictures, the sound's envelope, and the warnings of reading."""
    name = ", ".join(looked.seen.sample.media.values())
    return Markup('<div class="read"><h4>What was read of {}</h4>{}{}{}</div>').format(
        name, strips(looked.pictures), heard(looked.sound), notes(looked.seen.clip.warnings)
    )


def strips(pictures: Mapping[str, NDArray[np.uint8]]) -> Markup:
    """A titled row of pictures `[T, H, W, 3]` for each modality, all that there are, in order."""
    order = sorted(pictures, key=list(TITLES).index)
    return Markup("").join(_strip(TITLES[name], pictures[name]) for name in order)


def heard(sound: NDArray[np.float32] | None) -> Markup:
    """The envelope of a sound `[n]` at 16 kHz, and how long it is."""
    if sound is None:
        return Markup("")
    length_s = len(sound) / RATE_HZ
    return Markup(
        "<figure><figcaption>Voice that the model heard, {:.2f} s</figcaption>{}</figure>"
    ).format(length_s, waveform(sound, duration_s=length_s))


def notes(warnings: Sequence[str]) -> Markup:
    """What was missing, a line each."""
    lines = Markup("").join(Markup("<li>{}</li>").format(each) for each in warnings)
    return Markup('<ul class="notes">{}</ul>').format(lines) if warnings else Markup("")


def _strip(title: str, images: NDArray[np.uint8]) -> Markup:
    shown = Markup("").join(
        Markup('<img src="{}" alt="{} of {}" loading="lazy">').format(jpeg(image), at, len(images))
        for at, image in enumerate(images, start=1)
    )
    return Markup(
        '<figure><figcaption>{} ({})</figcaption><div class="strip" tabindex="0">{}</div></figure>'
    ).format(title, len(images), shown)
