"""MTCNN face detection: three small networks, each refining the boxes of the one before.

Written from Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks" (section II and figure 2). Names of the weights, and the choices the paper
leaves open (thresholds, pyramid factor, area resampling, order of the flattened features), follow
facenet-pytorch 2.6.0 (MIT), whose converted weights are used.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import nms

from affect_mllm.types import CheckpointError

CELL, STRIDE = 12, 2  # P-Net looks at 12 x 12 pixels, every 2


def _pool(x: Tensor, size: int) -> Tensor:
    return functional.max_pool2d(x, size, stride=2, ceil_mode=True)


class ProposalNet(nn.Module):
    """P-Net: images [1, 3, H, W] to face probability [h, w] and box offsets [4, h, w]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [h, w] and offsets [4, h, w], one for each 12 x 12 cell."""
        x = _pool(self.prelu1(self.conv1(x)), 2)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(1)[0, 1], self.conv4_2(x)[0]


class RefineNet(nn.Module):
    """R-Net: crops [N, 3, 24, 24] to face probability [N] and box offsets [N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [N] and offsets [N, 4]."""
        x = _pool(self.prelu1(self.conv1(x)), 3)
        x = _pool(self.prelu2(self.conv2(x)), 3)
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(_column_major(x)))
        return self.dense5_1(x).softmax(1)[:, 1], self.dense5_2(x)


class OutputNet(nn.Module):
    """O-Net: crops [N, 3, 48, 48] to face probability [N] and box offsets [N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2 = nn.Linear(256, 2), nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)  # five landmarks, which nothing here uses

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [N] and offsets [N, 4]."""
        x = _pool(self.prelu1(self.conv1(x)), 3)
        x = _pool(self.prelu2(self.conv2(x)), 3)
        x = _pool(self.prelu3(self.conv3(x)), 2)
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(_column_major(x)))
        return self.dense6_1(x).softmax(1)[:, 1], self.dense6_2(x)


def _column_major(x: Tensor) -> Tensor:
    """[N, C, H, W] flattened as W, H, C: the published weights come from a column-major library."""
    return x.permute(0, 3, 2, 1).flatten(1)


class Mtcnn(nn.Module):
    """The cascade. Boxes are x1, y1, x2, y2 in pixels until `forward` returns."""

    def __init__(
        self,
        min_face_px: int = 40,
        factor: float = 0.709,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
    ) -> None:
        super().__init__()
        self.pnet, self.rnet, self.onet = ProposalNet(), RefineNet(), OutputNet()
        self.min_face_px, self.factor, self.thresholds = min_face_px, factor, thresholds

    @classmethod
    def from_folder(cls, folder: Path, *, min_face_px: int = 40) -> Mtcnn:
        """The detector with the weights of `folder`/model.safetensors; CheckpointError if unfit."""
        file = folder / "model.safetensors"
        fix = "run `affect-mllm assets`"
        if not file.is_file():
            raise CheckpointError(str(file), "no such file", expected="MTCNN weights", fix=fix)
        model = cls(min_face_px=min_face_px)
        try:
            model.load_state_dict(load_file(file))
        except Exception as error:  # safetensors has its own error class, torch RuntimeError
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(str(file), reason, expected="MTCNN weights", fix=fix) from error
        return model.eval()

    @torch.inference_mode()
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Faces of one image uint8 [H, W, 3] RGB: boxes [N, 4] x, y, w, h and scores [N]."""
        pixels = (image.permute(2, 0, 1)[None].float() - 127.5) / 128
        boxes = self._propose(pixels)
        boxes, _ = self._refine(pixels, boxes, self.rnet, side=24, threshold=self.thresholds[1])
        boxes, scores = self._refine(
            pixels, boxes, self.onet, side=48, threshold=self.thresholds[2]
        )
        keep = _without_nested(boxes, scores)
        boxes, scores = boxes[keep], scores[keep]
        return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1), scores

    def _scales(self, height: int, width: int) -> list[float]:
        scale = CELL / self.min_face_px
        scales = []
        while min(height, width) * scale >= CELL:
            scales.append(scale)
            scale *= self.factor
        return scales

    def _propose(self, pixels: Tensor) -> Tensor:
        """Candidate squares [N, 4] over an image pyramid."""
        height, width = pixels.shape[-2:]
        boxes, scores = [pixels.new_zeros(0, 4)], [pixels.new_zeros(0)]
        for scale in self._scales(height, width):
            size = (int(height * scale + 1), int(width * scale + 1))
            small = functional.interpolate(pixels, size=size, mode="area")
            face, offsets = cast("tuple[Tensor, Tensor]", self.pnet(small))
            y, x = (face >= self.thresholds[0]).nonzero(as_tuple=True)
            corner = torch.stack([x, y, x, y], dim=1).float() * STRIDE
            cell = (corner + torch.tensor([0.0, 0.0, CELL, CELL])) / scale
            keep = nms(cell, face[y, x], 0.5)
            boxes.append(_shift(cell, offsets[:, y, x].T)[keep])
            scores.append(face[y, x][keep])
        every, face = torch.cat(boxes), torch.cat(scores)
        return _square(every[nms(every, face, 0.7)])

    def _refine(
        self, pixels: Tensor, boxes: Tensor, net: nn.Module, *, side: int, threshold: float
    ) -> tuple[Tensor, Tensor]:
        """The squares that `net` takes for faces, moved as it says, with its probabilities."""
        crops, boxes = _crops(pixels, boxes, side)
        if not len(crops):
            return boxes, pixels.new_zeros(0)
        face, offsets = cast("tuple[Tensor, Tensor]", net(crops))
        good = face > threshold
        moved, face = _shift(boxes[good], offsets[good]), face[good]
        keep = nms(moved, face, 0.7)
        moved = moved[keep]
        return (_square(moved) if side == 24 else moved), face[keep]


def _shift(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Each edge moved by its offset, which is a share of the box's width or height."""
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + offsets * size


def _square(boxes: Tensor) -> Tensor:
    """Squares about the same centres, with the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _crops(pixels: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """[N, 3, side, side] of the boxes that touch the image (cut at its edges), and those boxes."""
    height, width = pixels.shape[-2:]
    crops, kept = [], []
    for index, (x1, y1, x2, y2) in enumerate(boxes.round().int().tolist()):
        part = pixels[:, :, max(y1, 0) : min(y2, height), max(x1, 0) : min(x2, width)]
        if part.shape[-1] > 0 and part.shape[-2] > 0:
            crops.append(functional.interpolate(part, size=(side, side), mode="area"))
            kept.append(index)
    if not crops:
        return pixels.new_zeros(0, 3, side, side), boxes[:0]
    return torch.cat(crops), boxes[kept]


def _without_nested(boxes: Tensor, scores: Tensor) -> Tensor:
    """Indices by falling score, without boxes that lie in or about a better one.

    Overlap is measured against the smaller box, which suppresses a nose found within a face; the
    union of ordinary NMS does not.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        others = boxes[kept]
        low = torch.maximum(boxes[index, :2], others[:, :2])
        high = torch.minimum(boxes[index, 2:], others[:, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        if not (shared / torch.minimum(areas[index], areas[kept]) > 0.7).any():
            kept.append(index)
    return torch.tensor(kept, dtype=torch.long)
