"""Draws a face from action units with PIL, twice too large, and scales it down."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .design import FaceSpec
from .looks import Colour, Look, Pose, Scene, look_of, poses, scene_of

SIZE_PX = 256
OVER = 2
Box = tuple[float, float, float, float]
_ARC = np.linspace(-1.0, 1.0, 13)
_CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 32)), np.sin(np.linspace(0, 2 * np.pi, 32))], 1
)


def render(spec: FaceSpec, times_s: np.ndarray) -> tuple[np.ndarray, list[Box]]:
    """uint8 `[T, 256, 256, 3]` and the face's box (x, y, width, height in pixels) at each time."""
    look, scene = look_of(spec.identity), scene_of(spec)
    light, wall = _light(scene), _wall(scene)
    images, boxes = [], []
    for pose in poses(spec, times_s):
        canvas = wall.copy()
        artist = _Artist(canvas, look, scene, pose)
        artist.draw()
        small = np.asarray(canvas.reduce(OVER), np.float32) * light
        images.append(np.clip(small, 0, 255).astype(np.uint8))
        boxes.append(artist.box())
    return np.stack(images), boxes


def boxes(spec: FaceSpec, times_s: np.ndarray) -> list[Box]:
    """The boxes that `render` returns, without drawing anything."""
    blank = Image.new("RGB", (1, 1))
    look, scene = look_of(spec.identity), scene_of(spec)
    return [_Artist(blank, look, scene, pose).box() for pose in poses(spec, times_s)]


def _wall(scene: Scene) -> Image.Image:
    """The background: a slanted run from one colour to another."""
    side = np.linspace(0, 1, SIZE_PX * OVER)
    mix = (0.6 * side[:, None] + 0.4 * side[None, :])[..., None]
    first, second = np.array(scene.wall[0]), np.array(scene.wall[1])
    return Image.fromarray((first * (1 - mix) + second * mix).astype(np.uint8))


def _light(scene: Scene) -> np.ndarray:
    """float32 `[256, 256, 3]`, what every pixel is multiplied with."""
    side = 1 + scene.side_light * np.linspace(-1, 1, SIZE_PX)
    return (scene.gain * side[None, :, None] * np.array(scene.tint)).astype(np.float32)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(min(255, part * factor)) for part in colour)
    return red, green, blue


def _curve(points: list[tuple[float, float]]) -> np.ndarray:
    """A smooth line through a few points (quadratic fit), float `[13, 2]`."""
    given = np.array(points)
    u = np.interp(_ARC, np.linspace(-1, 1, len(given)), given[:, 0])
    v = np.polyval(np.polyfit(given[:, 0], given[:, 1], min(2, len(given) - 1)), u)
    return np.stack([u, v], 1)


class _Artist:
    """Draws one pose; coordinates are half face widths from the face's middle, v downwards."""

    def __init__(self, canvas: Image.Image, look: Look, scene: Scene, pose: Pose) -> None:
        self.pen = ImageDraw.Draw(canvas)
        self.look, self.pose, self.aus = look, pose, pose.aus
        side = SIZE_PX * OVER
        self.unit = scene.size * side
        self.centre = np.array(scene.place) * side + np.array(pose.shift) * side
        cos, sin = np.cos(pose.roll), np.sin(pose.roll)
        self.turn = np.array([[cos, sin], [-sin, cos]])
        self.jaw_drop = 0.1 * self.aus[26] + 0.14 * self.aus[27]

    def px(self, points: np.ndarray, depth: float = 0.0) -> list[tuple[float, float]]:
        """Picture coordinates; what has depth moves with yaw and pitch."""
        moved = points + depth * np.array([0.3 * self.pose.yaw, 0.25 * self.pose.pitch])
        return [tuple(p) for p in (moved * self.unit) @ self.turn + self.centre]

    def area(self, points: np.ndarray, colour: Colour, depth: float = 0.0) -> None:
        self.pen.polygon(self.px(points, depth), fill=colour)

    def line(self, points: np.ndarray, colour: Colour, width: float, *, depth: float = 0.0) -> None:
        self.pen.line(
            self.px(points, depth),
            fill=colour,
            width=max(1, round(width * self.unit)),
            joint="curve",
        )

    def ellipse(self, u: float, v: float, radii: tuple[float, float]) -> np.ndarray:
        return _CIRCLE * np.array(radii) + np.array([u, v])

    def oval(self) -> np.ndarray:
        """The outline of the face; the jaw drops with the mouth."""
        angle = np.linspace(0, 2 * np.pi, 48)
        low = np.clip(np.sin(angle), 0, 1)
        width = 1 - (1 - self.look.jaw) * low**2.2
        height = np.where(
            np.sin(angle) > 0, self.look.height * 0.97 + self.jaw_drop, self.look.height
        )
        return np.stack([np.cos(angle) * width, np.sin(angle) * height], 1)

    def box(self) -> Box:
        """The box around the outline, inside the picture."""
        points = np.array(self.px(self.oval())) / OVER
        low = np.clip(points.min(0), 0, SIZE_PX - 1)
        high = np.clip(points.max(0), 1, SIZE_PX)
        x, y, width, height = (round(float(n), 1) for n in (*low, *(high - low)))
        return x, y, width, height

    def draw(self) -> None:
        look = self.look
        skin, dark = look.skin, _shade(look.skin, 0.82)
        self.area(self.ellipse(0, 2.75, (1.75, 1.25)), look.shirt)
        self._hair_behind()
        self.area(np.array([(-0.45, 0.8), (0.45, 0.8), (0.5, 1.8), (-0.5, 1.8)]), dark)
        for side in (-1, 1):
            self.area(self.ellipse(side * 1.0, 0.0, (0.15, 0.27)), dark, -0.3)
        self.area(self.oval(), skin)
        self._hair_front()
        if look.beard:
            self._beard()
        self._cheeks()
        self._mouth()
        self._nose()
        for side in (-1, 1):
            self._eye(side)
            self._brow(side)
        self._furrows()
        if look.glasses:
            self._glasses()

    def _hair_behind(self) -> None:
        style, hair = self.look.hair_style, self.look.hair
        if style == 1:
            self.area(self.ellipse(0, 0.15, (1.28, 1.65)), hair)
        elif style != 3:
            self.area(self.ellipse(0, -0.3, (1.13, 1.25)), hair)

    def _hair_front(self) -> None:
        if self.look.hair_style == 3:
            return
        top = self.look.height
        edge = {0: -0.86, 1: -0.8, 2: -0.92}[self.look.hair_style]
        part = -0.35 if self.look.hair_style == 2 else 0.0
        outer = [
            (np.cos(a) * 1.06, np.sin(a) * top * 1.06) for a in np.linspace(np.pi, 2 * np.pi, 20)
        ]
        inner = [
            (0.95, -0.45),
            (0.7, edge + 0.05),
            (part, edge - 0.08),
            (-0.7, edge + 0.05),
            (-0.95, -0.45),
        ]
        self.area(np.array(outer + inner), self.look.hair)

    def _beard(self) -> None:
        oval = self.oval()
        low = oval[(oval[:, 1] > 0.1)]
        inner = np.stack([0.8 * _ARC, 0.42 - 0.3 * _ARC**4], 1)
        self.area(np.concatenate([low, inner]), _shade(self.look.hair, 1.1), 0.05)

    def _cheeks(self) -> None:
        raised = self.aus[6]
        if raised > 0.2:
            for side in (-1, 1):
                warm = (min(255, self.look.skin[0] + 12), *_shade(self.look.skin, 0.9)[1:])
                self.area(self.ellipse(side * 0.55, 0.28 - 0.06 * raised, (0.2, 0.14)), warm, 0.4)

    def _mouth(self) -> None:
        aus, t = self.aus, _ARC
        half = 0.34 * (
            1 + 0.4 * aus[12] + 0.2 * aus[20] - 0.2 * aus[26] - 0.2 * aus[27] - 0.1 * aus[17]
        )
        bend = 0.24 * aus[15] - 0.3 * aus[12]
        gap = 0.03 + 0.13 * aus[25] + 0.2 * aus[26] + 0.26 * aus[27] - 0.1 * aus[17]
        gap = max(gap, 0.012)
        lip = self.look.lip * (1 - 0.6 * aus[23])
        middle = 0.66 + 0.35 * self.jaw_drop + 0.05 * aus[12] - 0.05 * aus[17]
        hump = 1 - t**2
        corner = middle + bend * t**2
        lift = 0.11 * aus[10] * (1 - np.abs(t) ** 3)
        up, down = corner - 0.4 * gap * hump - lift, corner + 0.6 * gap * hump - 0.3 * lift
        u = half * t
        outline = [
            np.stack([u, up - lip * hump**0.7], 1),
            np.stack([u, down + 1.2 * lip * hump**0.7], 1)[::-1],
        ]
        tone = self.look.skin
        lips = (min(255, int(tone[0] * 0.82 + 12)), int(tone[1] * 0.52), int(tone[2] * 0.55))
        self.area(np.concatenate(outline), lips, 0.8)
        self.area(
            np.concatenate([np.stack([u, up], 1), np.stack([u, down], 1)[::-1]]), (58, 20, 24), 0.8
        )
        if (down - up).max() > 0.07:
            teeth = np.minimum(up + 0.09 + 0.04 * aus[12] + 0.03 * aus[10], down)
            self.area(
                np.concatenate([np.stack([u, up], 1), np.stack([u, teeth], 1)[::-1]]),
                (240, 238, 230),
                0.8,
            )
        self._mouth_folds(half, middle + bend)

    def _mouth_folds(self, half: float, corner: float) -> None:
        """The folds from the nose to the mouth's corners, and the chin's boss."""
        aus, dark = self.aus, _shade(self.look.skin, 0.7)
        depth = max(aus[12], aus[10], aus[9])
        for side in (-1, 1):
            if depth > 0.25:
                points = [
                    (side * 0.24, 0.3 - 0.06 * aus[9]),
                    (side * (half + 0.06), 0.45),
                    (side * (half + 0.12), corner + 0.02),
                ]
                self.line(np.array(points), dark, 0.03 * depth, depth=0.7)
        if aus[17] > 0.25:
            self.line(
                _curve([(-0.16, 1.0), (0, 0.93), (0.16, 1.0)]), dark, 0.035 * aus[17], depth=0.5
            )

    def _nose(self) -> None:
        aus, look = self.aus, self.look
        dark, up = _shade(look.skin, 0.72), 0.08 * aus[9]
        tip = 0.33 * look.nose - up
        for side in (-1, 1):
            self.area(self.ellipse(side * (0.13 + 0.03 * aus[9]), tip, (0.065, 0.05)), dark, 1.1)
        self.line(
            np.array([(0.07, -0.12), (0.1, tip - 0.12), (0.0, tip + 0.04)]), dark, 0.025, depth=1.0
        )
        for number in range(3):
            if aus[9] > 0.25:
                v = -0.16 + 0.11 * number
                crease = _curve([(-0.17, v + 0.05), (0, v), (0.17, v + 0.05)])
                self.line(crease, _shade(look.skin, 0.62), 0.032 * aus[9], depth=0.9)

    def _eye(self, side: int) -> None:
        aus, pose = self.aus, self.pose
        half = 0.215 * (1 + 0.08 * aus[5])
        top = 0.115 * (1 + 0.85 * aus[5] - 0.45 * aus[7] - 0.35 * aus[6] - 0.6 * aus[43])
        low = 0.085 * (1 + 0.25 * aus[5] - 0.6 * aus[7] - 0.85 * aus[6])
        top, low = (max(v * (1 - 0.95 * pose.blink), 0.004) for v in (top, low))
        hump, u = 1 - _ARC**2, half * _ARC
        middle = np.array([side * self.look.eye_gap, -0.16])
        upper, lower = np.stack([u, -top * hump], 1) + middle, np.stack([u, low * hump], 1) + middle
        self.area(np.concatenate([upper, lower[::-1]]), (246, 246, 242), 0.7)
        down = 0.03 * aus[43]
        for radius, colour in ((0.105, self.look.iris), (0.05, (16, 14, 14))):
            ball = _CIRCLE * radius + np.array([0.04 * pose.yaw, down])
            bow = 1 - np.clip(ball[:, 0] / half, -1, 1) ** 2
            ball[:, 1] = np.clip(ball[:, 1], -top * bow, low * bow)
            self.area(ball + middle, colour, 0.7)
        self.line(upper, (44, 30, 26), 0.035, depth=0.7)
        self.line(lower, _shade(self.look.skin, 0.66), 0.016, depth=0.7)
        if aus[43] > 0.25:
            self.area(
                np.concatenate([upper, (upper - [0, 0.09])[::-1]]),
                _shade(self.look.skin, 0.85),
                0.7,
            )
        if aus[6] > 0.25:
            for tilt in (-0.06, 0.02, 0.1):
                foot = np.array([(0.24, 0.02), (0.34, tilt)]) * [side, 1] + middle
                self.line(foot, _shade(self.look.skin, 0.7), 0.02, depth=0.5)

    def _brow(self, side: int) -> None:
        aus = self.aus
        inner = (0.17 - 0.06 * aus[4], -0.42 - 0.2 * aus[1] + 0.17 * aus[4])
        arch = (0.42, -0.5 - 0.14 * aus[1] - 0.15 * aus[2] + 0.08 * aus[4])
        outer = (0.7, -0.41 - 0.19 * aus[2] - 0.03 * aus[4] + 0.06 * aus[43])
        points = np.array([inner, (0.3, (inner[1] + arch[1]) / 2 - 0.02), arch, outer]) * [side, 1]
        self.line(points, _shade(self.look.hair, 0.85), self.look.brow_width, depth=0.6)

    def _furrows(self) -> None:
        """Upright lines between lowered brows, level ones above raised ones."""
        aus, dark = self.aus, _shade(self.look.skin, 0.66)
        if aus[4] > 0.3:
            for side in (-1, 1):
                upright = np.array([(side * 0.06, -0.5), (side * 0.05, -0.3)])
                self.line(upright, dark, 0.035 * aus[4], depth=0.6)
        if aus[1] > 0.3:
            half = 0.2 + 0.35 * aus[2]
            for v in (-0.76, -0.85):
                self.line(
                    _curve([(-half, v), (0, v - 0.04), (half, v)]), dark, 0.028 * aus[1], depth=0.4
                )

    def _glasses(self) -> None:
        for side in (-1, 1):
            rim = self.ellipse(side * self.look.eye_gap, -0.14, (0.31, 0.27))
            self.line(np.concatenate([rim, rim[:1]]), (40, 40, 46), 0.03, depth=0.8)
        self.line(np.array([(-0.11, -0.16), (0.11, -0.16)]), (40, 40, 46), 0.03, depth=0.8)
