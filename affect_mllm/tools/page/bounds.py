"""How large and how long an upload may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from affect_mllm.types import DataError

MIB = 2**20
RATE_HZ = 16_000


@dataclass(frozen=True)
class Bounds:
    """At most `mib` MiB of a file, and `seconds` of a video or a sound."""

    mib: float = 64.0
    seconds: float = 120.0

    def check(self, path: Path) -> None:
        """DataError for a file that is too large or too long, or that is no media."""
        from affect_mllm.media.container import check_file

        check_file(path)
        size_mib = path.stat().st_size / MIB
        if size_mib > self.mib:
            raise _beyond(path, f"{size_mib:.1f} MiB", f"{self.mib:g} MiB", "--max-upload")
        length_s = _length_s(path)
        if length_s > self.seconds:
            raise _beyond(path, f"{length_s:.1f} s", f"{self.seconds:g} s", "--max-seconds")


def _beyond(path: Path, got: str, most: str, option: str) -> DataError:
    fix = f"cut it, or start the page with a higher {option}"
    return DataError(str(path), got, expected=f"at most {most}", fix=fix)


def _length_s(path: Path) -> float:
    """Of a picture 0; of a sound whose header does not say it, as browsers record, by decoding."""
    from affect_mllm.media.audio import sound_length
    from affect_mllm.media.video import probe

    info = probe(path)
    if info.duration_s is not None or info.kind != "audio":
        return info.duration_s or 0.0
    return (sound_length(path, sample_rate_hz=RATE_HZ) or 0) / RATE_HZ
