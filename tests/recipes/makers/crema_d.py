"""crema_d: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "AudioWAV/1001_DFA_ANG_XX.wav", root / "AudioWAV/1040_ITH_SAD_X.wav")
    kit.put(root / "AudioWAV/1002_IEO_HAP_HI.wav", root / "VideoFlash/1001_DFA_ANG_XX.flv")
    return Made([str(root)], root / "AudioWAV/1001_DFA_JOY_XX.wav", 3, named=True)
