"""Any causal LM of transformers: hidden states, logits and answers are the model's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.models.likelihood import label_log_likelihoods
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.llm.masks import decoder_masks
from affect_mllm.models.llm.prompt import Prompt
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import ConfigError

SIZES = {
    "vocab_size": 500,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 2,
}
LENGTHS = (9, 21, 14)
WINDOW = {"sliding_window": 8}
# Windows are shorter than the longest example: a mask that forgets them is seen.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen25": ("Qwen2", {}),
    "qwen25_window": ("Qwen2", {**WINDOW, "use_sliding_window": True, "max_window_layers": 1}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "llama3": ("Llama", {}),
    "mistral": ("Mistral", WINDOW),
    "phi": ("Phi", {}),
    "phi3": ("Phi3", WINDOW),
    "gemma": ("Gemma", {"head_dim": 8}),
    "gemma3": ("Gemma3", {**WINDOW, "head_dim": 8, "sliding_window_pattern": 3}),
    "smollm3": ("SmolLM3", {"no_rope_layer_interval": 2}),
}
# bitsandbytes quantises blocks of 64 numbers.
WIDE = {"wide": ("Llama", {"hidden_size": 64, "intermediate_size": 128})}
WINDOWED = {"qwen25_window", "mistral", "phi3", "gemma3"}


@pytest.fixture(scope="module")
def folders(tiny, tmp_path_factory) -> dict[str, Path]:
    """A folder of random weights for each family, with the tiny tokenizer."""
    root = tmp_path_factory.mktemp("llms")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny.root / "llm")
    for name, (family, options) in {**FAMILIES, **WIDE}.items():
        text = "TextConfig" if family == "Gemma3" else "Config"
        config = getattr(transformers, f"{family}{text}")(**{**SIZES, **options})
        torch.manual_seed(1)
        net = getattr(transformers, f"{family}ForCausalLM")(config)
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(8)
        net.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return {name: root / name for name in {**FAMILIES, **WIDE}}


def model(folders, name: str, *, attention: Any = "sdpa", **options: Any) -> LanguageModel:
    made = LanguageModel(str(folders[name]), dtype="float32", attention=attention, **options)
    return made.eval()


def theirs(folders, name: str) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folders[name]).eval()


def prompts() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randint(5, 500, (length,)) for length in LENGTHS]


def padded() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.nn.utils.rnn.pad_sequence(prompts(), batch_first=True, padding_value=7)
    place = torch.arange(ids.shape[1])
    real = place < torch.tensor(LENGTHS)[:, None]
    segments = torch.where(real, torch.arange(len(ids))[:, None], -1)
    return ids, segments, place.expand(ids.shape) * real


def packed() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    places = torch.cat([torch.arange(length) for length in LENGTHS])
    segments = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    return torch.cat(prompts())[None], segments[None], places[None]


@torch.no_grad()
def logits(llm: LanguageModel, ids, segments, places) -> list[torch.Tensor]:
    hidden = llm.hidden_states(llm.embed(ids), segments, places)
    return [llm.logits(hidden[segments == i]) for i in range(len(LENGTHS))]


def loss_over(llm: LanguageModel) -> torch.Tensor:
    ids, segments, places = packed()
    return llm.hidden_states(llm.embed(ids), segments, places).float().pow(2).sum()


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager", "blocked"])
@pytest.mark.parametrize("name", FAMILIES)
def test_packed_or_padded_the_logits_are_those_of_the_model_alone(folders, name, attention) -> None:
    llm, own = model(folders, name, attention=attention), theirs(folders, name)
    for rows in (padded(), packed()):
        for ids, got in zip(prompts(), logits(llm, *rows), strict=True):
            expected = own(ids[None]).logits[0]
            assert (got - expected).abs().max() <= 1e-5 * expected.abs().max().clamp_min(1)


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_answers_are_those_of_the_models_own_generate(folders, name: str) -> None:
    llm, own = model(folders, name), theirs(folders, name)
    ids, segments, places = padded()
    prompt = Prompt(llm.embed(ids), places, segments >= 0).padded_left()
    together = llm.answers(prompt, max_new_tokens=6)
    for asked, got in zip(prompts(), together, strict=True):
        whole = own.generate(asked[None], do_sample=False, max_new_tokens=6, pad_token_id=0)
        answer = llm.tokenizer.decode(whole[0, len(asked) :], skip_special_tokens=True)
        assert got == answer.strip()
    assert len(set(together)) > 1


@torch.no_grad()
def test_the_dtype_is_the_bases_whatever_trains_and_follows_the_model(folders) -> None:
    llm = LanguageModel(str(folders["llama3"]), dtype="bfloat16")
    next(llm.net.parameters()).data = next(llm.net.parameters()).data.float()  # as what trains
    assert llm.is_bf16
    llm.to("cpu")
    assert llm.is_bf16
    assert not llm.float().is_bf16
    assert llm.to(torch.bfloat16).is_bf16


def test_an_answer_says_whether_the_limit_of_tokens_cut_it_off(folders) -> None:
    llm = model(folders, next(iter(FAMILIES)))
    ids, segments, places = padded()
    prompt = Prompt(llm.embed(ids), places, segments >= 0).padded_left()
    first = llm.generate(prompt, do_sample=False, max_new_tokens=1, eos_token_id=-1, pad_token_id=0)
    end = int(first[0, 0])  # what the first answer begins with ends it
    texts, cut_off, counts = llm.written(prompt, max_new_tokens=4, end_id=end)
    assert (texts[0], cut_off[0]) == ("", False)
    assert any(cut_off)
    assert counts[0] == 1, "the token that ends it"
    assert {count for count, cut in zip(counts, cut_off, strict=True) if cut} == {4}
    assert texts == llm.answers(prompt, max_new_tokens=4, end_id=end)


@torch.no_grad()
@pytest.mark.parametrize("name", ["gemma", "gemma3", "llama3"])
def test_the_size_of_embeddings_is_what_the_decoder_gets(folders, name: str) -> None:
    """Gemma multiplies them by the root of its width: media tokens have to be as large."""
    llm, own = model(folders, name), theirs(folders, name)
    every = llm.embed(torch.arange(500))
    assert llm.embedding_rms == pytest.approx(float(every.pow(2).mean().sqrt()), rel=1e-4)
    ids = prompts()[0][None]
    given = own(inputs_embeds=llm.embed(ids)).logits
    torch.testing.assert_close(given, own(ids).logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_lora_on_all_linear_layers_leaves_the_head_alone_and_learns(folders, name: str) -> None:
    llm = model(folders, name, lora=LoraConfig(r=2, target_modules="all-linear"))
    plain = logits(model(folders, name), *packed())
    for one, two in zip(logits(llm, *packed()), plain, strict=True):
        torch.testing.assert_close(one, two)
    lora = {n: p for n, p in llm.named_parameters() if "lora_" in n}
    adapted = {n.split(".lora_")[0].rsplit(".", 1)[1] for n in lora}
    assert "lm_head" not in adapted
    assert len(adapted) >= 4
    for parameter in lora.values():
        parameter.requires_grad_()
    loss_over(llm).backward()
    assert all(p.grad is not None for p in lora.values())
    assert any(p.grad.any() for n, p in lora.items() if "lora_B" in n)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"use_rslora": True}])
def test_lora_dora_and_rslora_equal_their_merged_weights(folders, options: dict) -> None:
    """The oracle is peft's own merge into the base weights."""
    from peft.tuners.lora import LoraLayer

    targets = ["q_proj", "up_proj", "down_proj"]
    lora = LoraConfig(r=4, lora_alpha=7, target_modules=targets, **options)
    llm = model(folders, "qwen25", lora=lora)
    torch.manual_seed(2)
    for n, parameter in llm.named_parameters():
        if "lora_" in n:
            parameter.add_(torch.randn_like(parameter) * 0.2)
    before = logits(llm, *padded())
    plain = logits(model(folders, "qwen25"), *padded())
    assert (before[0] - plain[0]).abs().max() > 1e-2
    for module in llm.net.modules():
        if isinstance(module, LoraLayer):
            module.merge()
    for one, two in zip(before, logits(llm, *padded()), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_without_lora_every_weight_can_be_tuned(folders) -> None:
    llm = model(folders, "llama3")
    assert not any(p.requires_grad for p in llm.parameters())
    llm.requires_grad_(True)
    loss_over(llm).backward()
    untouched = [n for n, p in llm.named_parameters() if p.grad is None]
    assert untouched == ["net.lm_head.weight"]  # of the hidden states' loss


@pytest.mark.parametrize("how", ["nf4", "int8"])
def test_a_quantised_base_is_near_the_plain_one_and_carries_lora(folders, how: Any) -> None:
    lora = LoraConfig(r=2, target_modules="all-linear")
    folder = str(folders["wide"])
    llm = LanguageModel(folder, dtype="bfloat16", attention="sdpa", lora=lora, quantize=how)
    assert {type(m).__name__ for m in llm.net.modules()} & {"Linear4bit", "Linear8bitLt"}
    adapters = {n: p for n, p in llm.named_parameters() if "lora_" in n}
    assert {p.dtype for p in adapters.values()} == {torch.float32}
    for parameter in adapters.values():
        parameter.requires_grad_()
    loss_over(llm.train()).backward()
    assert all(p.grad is not None for p in adapters.values())
    plain = logits(model(folders, "wide"), *padded())
    for one, two in zip(logits(llm.eval(), *padded()), plain, strict=True):
        similar = torch.nn.functional.cosine_similarity(one.float(), two, dim=-1)
        assert similar.median() > 0.8


def test_generating_leaves_the_gradients_through_four_bits_alone(folders) -> None:
    """bitsandbytes would lay the weights out anew for a CPU that has AVX512-BF16."""
    lora = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    folder = str(folders["wide"])
    llm = LanguageModel(folder, dtype="bfloat16", attention="sdpa", lora=lora, quantize="nf4")

    def gradients() -> list[torch.Tensor]:
        adapters = [p.requires_grad_() for n, p in llm.named_parameters() if "lora_" in n]
        return list(torch.autograd.grad(loss_over(llm.train()), adapters))

    before = gradients()
    with torch.no_grad():
        logits(llm.eval(), *padded())
    for one, two in zip(gradients(), before, strict=True):
        assert torch.equal(one, two)


def test_quantising_without_bitsandbytes_says_what_to_install(folders, monkeypatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "bitsandbytes" else real(n, *a)
    )
    with pytest.raises(ConfigError, match="qlora"):
        model(folders, "llama3", quantize="nf4")


def test_targets_that_are_not_there_and_softcapped_logits_are_refused(folders, tmp_path) -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        model(folders, "llama3", lora=LoraConfig(target_modules=["nonsense"]))
    config = transformers.Gemma2Config(**SIZES, head_dim=8)
    transformers.Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(folders["gemma"]).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="final_logit_softcapping"):
        LanguageModel(str(tmp_path), dtype="float32")


def test_masks_by_hand() -> None:
    segments = torch.tensor([[0, 0, 0, 1]])
    both = decoder_masks(
        segments, {"sliding_window": 2, "layer_types": ["full_attention", "sliding_attention"]}
    )
    assert both["full_attention"][0, 0].int().tolist()[2] == [1, 1, 1, 0]
    assert both["sliding_attention"][0, 0].int().tolist() == [
        [1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]
    ]  # fmt: skip
    assert list(decoder_masks(segments, {"sliding_window": 2})) == ["sliding_attention"]
    assert list(decoder_masks(segments, {})) == ["full_attention"]


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", sorted(WINDOWED))
def test_likelihoods_of_labels_respect_windows(folders, name: str, attention: str) -> None:
    """What the model's own forward pass says of each label behind each prompt."""
    llm, own = model(folders, name, attention=attention), theirs(folders, name)
    made = AffectMLLM(encoders={}, branches={}, compressors={}, llm=llm)
    asked = [
        Example(str(i), ids.tolist(), [-100] * len(ids), (), {}, True)
        for i, ids in enumerate(prompts())
    ]
    labels = [[7, 9, 11], [7], list(range(5, 16))]  # the last is longer than the window
    found = label_log_likelihoods(made, collate(asked, pad_id=0), labels)
    for ids, got in zip(prompts(), found, strict=True):
        for label, score in zip(labels, got.tolist(), strict=True):
            whole = torch.cat([ids, torch.tensor(label)])
            logs = own(whole[None]).logits[0].double().log_softmax(-1)
            expected = logs[len(ids) - 1 : -1][range(len(label)), label].sum().item()
            assert score == pytest.approx(expected, rel=1e-5, abs=1e-4)
