"""iemocap: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, write

EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[0.1000 - 0.9000]\tSes0{s}F_impro01_F000\texc\t[4.5000, 4.0000, 3.0000]
C-E2:\tExcited;\t()
C-F1:\tHappiness; Excited;\t(curious)
A-E3:\tval 5; act 4; dom  3;\t()

[0.7000 - 1.5000]\tSes0{s}F_impro01_M000\tfru\t[2.0000, 3.5000, 5.5000]
C-E2:\tFrustration;\t()

[1.5000 - 2.0000]\tSes0{s}F_impro01_M001\txxx\t[2.5000, 2.5000, 2.5000]
A-M1:\tval 2; act 3; dom  3;\t()
"""

SPOKEN = """Ses0{s}F_impro01_F000 [000.1000-000.9000]: We won!
M: [laughs]
Ses0{s}F_impro01_M000 [000.7000-001.5000]: Not [sigh] again: no.
Ses0{s}F_impro01_M001 [001.5000-002.0000]: Well.
"""


def make(root: Path, kit: Kit) -> Made:
    for session in range(1, 6):
        folder = root / f"Session{session}/dialog"
        name = f"Ses0{session}F_impro01"
        write(folder / f"EmoEvaluation/{name}.txt", EVALUATION.replace("{s}", str(session)))
        write(folder / f"EmoEvaluation/._{name}.txt", "\x00\x05\x16")
        write(folder / f"transcriptions/{name}.txt", SPOKEN.replace("{s}", str(session)))
        kit.put(folder / f"avi/DivX/{name}.avi")
    path = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    return Made([str(root), "--classes", "6"], path, 10)
