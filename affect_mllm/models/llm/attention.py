"""Attention without padding and without masks: each example of a flat row attends to itself.

The kernels read the examples' borders (`Borders`): torch's `varlen_attn`, flash-attn and its third
version on CUDA in half precision, `blocked` everywhere else. `sdpa` and `eager` take a mask of
blocks instead, L² numbers a row, and compute what the mask then hides: for comparison.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from affect_mllm.borders import Borders
from affect_mllm.models.llm.blocked import Blocked, Rule
from affect_mllm.models.precision import own_precision
from affect_mllm.types import ConfigError

Attention = Literal[
    "auto", "varlen", "flash_attention_2", "flash_attention_3", "blocked", "sdpa", "eager"
]
MASKED = ("sdpa", "eager")
HALF = (torch.bfloat16, torch.float16)
WIDEST_HEAD = 256  # of the fused kernels


def choose(asked: Attention) -> str:
    """transformers' name of the attention to use, made known to it.

    `auto` is the best kernel of this machine wherever a call fits it, `blocked` elsewhere. Raises
    ConfigError for a kernel that is asked for and cannot run here: nothing is substituted.
    """
    if asked in MASKED:
        return asked
    lacking = fused_lacks(asked) if asked in FUSED else None
    if lacking:
        raise ConfigError(
            "model.llm.attention",
            f"{asked}, but {lacking}",
            expected="auto for the best that runs here, or blocked, which runs everywhere",
            fix="model.llm.attention=auto",
        )
    best = next((name for name in FUSED if not fused_lacks(name)), None)
    fused = {"auto": best, "blocked": None}.get(asked, asked)
    return _register(asked, partial(attend, fused=fused, only=asked in FUSED))


def on_tower(name: str) -> str:
    """The same attention under a name by which transformers hands borders to vision towers.

    It looks for `flash` in the name; of other names it calls once for each window.
    """
    return name if name in MASKED else f"flash_{name}"


def fused_lacks(name: str) -> str | None:
    """What keeps a fused kernel from running on this machine, or None."""
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    major, minor = torch.cuda.get_device_capability()
    if major < 8 or (name == "flash_attention_3" and major != 9):
        return f"it does not run on a GPU of compute capability {major}.{minor}"
    package = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
    if name in package and importlib.util.find_spec(package[name]) is None:
        return f"the package with the module {package[name]} is not installed"
    if name == "varlen" and not torch.backends.cuda.is_flash_attention_available():
        return "this torch was built without its flash kernels"
    return None


def _register(asked: str, attention: Callable[..., Any]) -> str:
    from transformers import AttentionInterface, AttentionMaskInterface

    # Without `flash` in it, for which transformers would look for a package or a kernel of the Hub.
    name = f"packed_{asked.replace('flash_attention_', 'fa')}"
    for each in (name, on_tower(name)):
        AttentionInterface.register(each, attention)
        AttentionMaskInterface.register(each, _mask)
    return name


def _mask(*, attention_mask: torch.Tensor | None = None, **shape: Any) -> torch.Tensor | None:
    """SDPA's mask for generation, if there is padding."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None:
        return None
    return sdpa_mask(attention_mask=attention_mask, **shape)


class Known:
    """Borders as torch.compile does not look into them: with a tuple, another number of examples
    would compile each layer anew, until it gives up at its limit.
    """

    def __init__(self, borders: Borders) -> None:
        self._borders = borders

    def __iter__(self) -> Iterator[Borders]:
        """The borders, alone."""
        return iter((self._borders,))


def arguments(borders: Borders) -> dict[str, Any]:
    """The keywords under which a decoder passes the borders to `attend`."""
    return {
        "cu_seq_lens_q": borders.starts,
        "max_length_q": borders.longest,
        "borders": Known(borders),
        "forked": bool(borders.forks),
    }


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    fused: str | None = None,
    only: bool = False,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: `[1, H, T, D]` queries, `[1, K, T, D]` keys and values.

    Returns `[1, T, H, D]`. `fused` computes it where these tensors fit it, else `blocked`, or
    with `only` a ConfigError. Without borders (generation, with its cache) it is SDPA.
    """
    starts = options.get("cu_seq_lens_q")
    if starts is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    rule = _rule(module, query, options)
    # Autocast leaves rotated queries and keys in float32 beside values in half precision.
    query, key = query.to(value.dtype), key.to(value.dtype)
    why = unfit(value.device.type, value)
    if options.get("forked"):
        why = why or "some examples have several answers behind one prompt"
    if fused and only and why:
        raise ConfigError(
            "model.llm.attention",
            f"{fused}, but {why}",
            expected="a CUDA device, bf16 or fp16 by model.llm.dtype or launch.precision, and one "
            "answer an example",
            fix="model.llm.attention=auto",
        )
    if fused and not why:
        rows = [each[0].transpose(0, 1) for each in (query, key, value)]
        mixed = FUSED[fused](rows, starts, options["max_length_q"], rule)
        return mixed.unsqueeze(0), None
    return _plain(query, key, value, starts, options.get("borders", ()), rule), None


def _rule(module: nn.Module, query: torch.Tensor, options: dict[str, Any]) -> Rule:
    """What is asked for; ConfigError for what no kernel here computes."""
    causal, window = options.get("is_causal"), options.get("sliding_window")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    refused = [name for name in ("dropout", "softcap", "s_aux") if options.get(name) is not None]
    refused = [name for name in refused if name == "s_aux" or options[name]]
    if window is not None and not causal:
        refused.append("a window that looks ahead")
    if refused:
        raise ConfigError(
            "model.llm.attention",
            f"attention with {', '.join(refused)}",
            expected="neither",
            fix="model.llm.attention=eager",
        )
    if window is not None and options["max_length_q"] <= window:
        window = None  # all of it is in sight
    return Rule(float(options.get("scaling") or query.shape[-1] ** -0.5), causal, window)


def unfit(device: str, value: torch.Tensor) -> str | None:
    """Why no fused kernel on a device of this type computes with such values, or None."""
    if device != "cuda":
        return f"the model is on the device {device}"
    if value.dtype not in HALF:
        return f"it would compute in {value.dtype}"
    if value.shape[-1] > WIDEST_HEAD or value.shape[-1] % 8:
        return f"heads are {value.shape[-1]} wide"
    return None


def _blocked(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    known: Iterable[Borders],
    rule: Rule,
) -> torch.Tensor:
    """`blocked` between `starts`, whose numbers the host has where they are among the `known`."""
    given = next((each for each in known if each.starts is starts), None)
    cuts, forks = (starts.tolist(), ()) if given is None else (given.cuts, given.forks)
    with own_precision(query.device):  # autocast would make weights float32, backward would not
        mixed = Blocked.apply(query[0], key[0], value[0], cuts, rule, forks)
    return mixed.transpose(0, 1).unsqueeze(0)


# Its loop over borders would be compiled anew for every batch.
_plain: Any = torch.compiler.disable(_blocked)


Rows = list[torch.Tensor]  # queries `[T, H, D]`, keys and values `[T, K, D]`


def _varlen(rows: Rows, starts: torch.Tensor, longest: int, rule: Rule) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = rows
    mixed: Any = varlen_attn(
        query,
        key,
        value,
        starts,
        starts,
        longest,
        longest,
        scale=rule.scale,
        window_size=_window(rule),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return mixed


def _flash_3(rows: Rows, starts: torch.Tensor, longest: int, rule: Rule) -> torch.Tensor:
    from flash_attn_interface import flash_attn_varlen_func

    return _flash(flash_attn_varlen_func, rows, starts, longest, rule=rule)


def _flash_2(rows: Rows, starts: torch.Tensor, longest: int, rule: Rule) -> torch.Tensor:
    from flash_attn import flash_attn_varlen_func

    return _flash(flash_attn_varlen_func, rows, starts, longest, rule=rule)


def _flash(
    kernel: Callable[..., Any], rows: Rows, starts: torch.Tensor, longest: int, *, rule: Rule
) -> torch.Tensor:
    mixed = kernel(
        *rows,
        starts,
        starts,
        longest,
        longest,
        softmax_scale=rule.scale,
        causal=rule.causal,
        window_size=_window(rule),
    )
    return mixed[0] if isinstance(mixed, tuple) else mixed  # older third versions add sums


def _window(rule: Rule) -> tuple[int, int]:
    """How far a query looks behind and ahead; −1: to the end of its example."""
    behind = -1 if rule.window is None else rule.window - 1  # beside the query's own position
    return behind, 0 if rule.causal else -1


# The best first: what `auto` tries.
FUSED: dict[str, Callable[[Rows, torch.Tensor, int, Rule], torch.Tensor]] = {
    "flash_attention_3": _flash_3,
    "flash_attention_2": _flash_2,
    "varlen": _varlen,
}
