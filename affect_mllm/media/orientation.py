"""How a video is to be turned and mirrored before it is shown, as its display matrix says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Matrix = tuple[tuple[int, int], tuple[int, int]]
UPRIGHT: Matrix = ((1, 0), (0, 1))


def display_matrix(frame: VideoFrame) -> Matrix:
    """`((a, b), (c, d))` of ISO/IEC 14496-12, 8.3.2, each -1, 0 or 1, as its nearest quarter turn.

    A point (x, y) of the stored picture is shown at (a·x + c·y, b·x + d·y), moved back into view.
    """
    try:
        found = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside it is what PyAV has no name for, such as the view of MV-HEVC
        return _turned(frame.rotation)
    if found is None:
        return UPRIGHT
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(found), np.int32).reshape(3, 3).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        made = ((_sign(a), 0), (0, _sign(d)))
    else:
        made = ((0, _sign(b)), (_sign(c), 0))
    return made


def _turned(degrees: int) -> Matrix:
    """The matrix of a turn counterclockwise."""
    quarters: tuple[Matrix, ...] = (
        UPRIGHT,
        ((0, -1), (1, 0)),
        ((-1, 0), (0, -1)),
        ((0, 1), (-1, 0)),
    )
    return quarters[round(degrees / 90) % 4]


def swaps_sides(matrix: Matrix) -> bool:
    """Whether the stored width is the height that is shown."""
    return matrix[0][0] == 0


def is_mirrored(matrix: Matrix) -> bool:
    """Whether turning alone does not show the picture as it is meant."""
    (a, b), (c, d) = matrix
    return a * d - b * c < 0


def displayed(image: npt.NDArray[np.uint8], matrix: Matrix) -> npt.NDArray[np.uint8]:
    """`image` [H, W, …] as it is shown, a view."""
    (a, b), (c, d) = matrix
    across, down = (c, b) if swaps_sides(matrix) else (a, d)
    turned = image.swapaxes(0, 1) if swaps_sides(matrix) else image
    return turned[:: down or 1, :: across or 1]


def _sign(value: int) -> int:
    return -1 if value < 0 else 1
