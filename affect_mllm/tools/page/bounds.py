"""How large and how long an upload may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from affect_mllm.tools.upload import MIB, looked_into
from affect_mllm.types import DataError


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
            raise DataError(
                str(path),
                f"{size_mib:.1f} MiB",
                expected=f"at most {self.mib:g} MiB",
                fix="cut it, or start with a higher --max-upload",
            )
        looked_into(path, self.seconds)
