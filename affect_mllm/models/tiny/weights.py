"""Encoders of random weights: the architecture that a name tells, at the sizes of `sizes`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

from affect_mllm.models.tiny.sizes import (
    ALIASES,
    OF_ARCHITECTURE,
    OF_VARIANT,
    SIZES,
    TIMM,
    TIMM_PICTURE,
)
from affect_mllm.types import CheckpointError

WEIGHTS = "model.safetensors"


def architecture(model: str) -> str:
    """The `model_type` of transformers that a folder's config.json or a model's name tells.

    A name tells the longest one that it contains, punctuation aside: `Qwen/Qwen2.5-VL-7B-Instruct`
    is a `qwen2_5_vl`. Raises CheckpointError where it contains none.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = Path(model) / "config.json"
    if config.is_file():
        return str(json.loads(config.read_text(encoding="utf-8")).get("model_type"))
    known = {_plain(name): name for name in (*CONFIG_MAPPING.keys(), *ALIASES)}
    found = [name for name in known if name in _plain(_short(model))]
    if not found:
        raise CheckpointError(
            model,
            "its name tells no architecture of transformers",
            expected="one as facebook/hubert-large-ls960-ft",
            fix="name a folder with a config.json, or give the class a method `tiny` of its own",
        )
    longest = known[max(found, key=len)]
    return ALIASES.get(longest, longest)


def tiny_encoder(model: str, folder: Path, **changes: Any) -> dict[str, Any]:
    """Write a model of transformers like `model`; settings of an encoder that fit it.

    `changes` are fields of its configuration. The settings are by their path below the encoder.
    """
    from transformers import AutoModel

    config = tiny_config(model, **changes)
    AutoModel.from_config(config).save_pretrained(folder)
    vision = getattr(config, "vision_config", config)
    settings: dict[str, Any] = {"model": str(folder)}
    if hasattr(vision, "image_size"):
        settings["transform.size"] = vision.image_size
    if hasattr(config, "num_mel_bins"):
        settings["transform.n_mels"] = config.num_mel_bins
        settings["layers"] = list(range(config.encoder_layers + 1))
    return settings


def tiny_config(model: str, **changes: Any) -> Any:
    """The configuration of a tiny model like `model`, those inside it included."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = architecture(model)
    known: Any = CONFIG_MAPPING[kind]
    fields = _tiny_fields(known) | OF_ARCHITECTURE.get(kind, {})
    for (of, part), more in OF_VARIANT.items():
        fields |= more if of == kind and part in model.lower() else {}
    return known(**(fields | changes))


def tiny_timm(model: str, folder: Path) -> dict[str, Any]:
    """Write a model of timm like `model`; settings of an encoder that fit it."""
    import timm
    from safetensors.torch import save_file

    name, options = _timm_architecture(model)
    net = timm.create_model(name, num_classes=3, **options)
    folder.mkdir(parents=True, exist_ok=True)  # a command that was cut off may have left it
    weights = {key: tensor.contiguous() for key, tensor in net.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    spec = {"architecture": name, "num_classes": 3, "model_args": options}
    (folder / "config.json").write_text(json.dumps(spec))
    size = options.get("img_size", TIMM_PICTURE)
    return {"model": str(folder), "transform.size": size, "image_size": size}


def _timm_architecture(model: str) -> tuple[str, dict[str, Any]]:
    import timm

    given = [family for family in TIMM if family in _short(model).lower()]
    if given:
        return TIMM[max(given, key=len)]
    names = [name.removeprefix("test_") for name in timm.list_models("test_*")]
    found = [name for name in names if _plain(name) in _plain(_short(model))]
    if not found:
        raise CheckpointError(
            model,
            "its name tells no family of timm that has a tiny model",
            expected=f"one of {sorted({*names, *TIMM})} in it",
            fix="add the family to TIMM of models/tiny/sizes.py",
        )
    return f"test_{max(found, key=len)}", {}


def _tiny_fields(known: Any) -> dict[str, Any]:
    """The fields of a configuration class whose tiny sizes are known, by name."""
    default, aliases = known(), known.attribute_map
    fields = {
        name: value
        for name, value in SIZES.items()
        if hasattr(default, name) and name not in aliases
    }
    inner = {name: kind for name, kind in known.sub_configs.items() if hasattr(kind, "sub_configs")}
    return fields | {name: _tiny_fields(kind) for name, kind in inner.items()}


def _short(model: str) -> str:
    return model.removeprefix("asset:").rsplit("/", 1)[-1]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def seeded(model: str) -> None:
    """Random numbers from here on are those of the model's name."""
    torch.manual_seed(sum(map(ord, model)))
