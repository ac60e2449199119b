"""A tiny model of the real classes, made of ordinary weight folders, with real small clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.data.example import Example, ExampleMaker
from affect_mllm.data.settings import DataSettings
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import Batch, Sample
from tests.media import clips

CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = (
    "You recognise emotions. Which emotion does the person express? Answer with one of: happy, "
    "sad, angry, surprise, fear, disgust, neutral. Describe the facial expression, tone of voice "
    "and what is being said. Face: Voice: Fused: Video: Image: Subtitle: system user assistant"
)
SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
EMOTIONS = ("happy", "sad", "angry")
QUESTION = "Which emotion does the person express?"


@dataclass(frozen=True)
class Tiny:
    """Folders of tiny weights and a manifest under `root`; what is made of them by real code."""

    root: Path

    def overrides(self, run_dir: Path, *more: str) -> list[str]:
        """The demo's experiment with tiny parts, in float32, three steps at most a stage."""
        stages = [
            f"stages.{name}.{key}"
            for name in ("align", "emotion", "instruct")
            for key in ("steps=2", "batch_size=4", "save_every=50")
        ]
        return [
            "experiment=demo",
            f"run_dir={run_dir}",
            f"model.llm.model={self.root / 'llm'}",
            "model.llm.dtype=float32",
            "model.llm.lora.r=2",
            f"model.encoders.visual.model={self.root / 'vision'}",
            "model.encoders.visual.transform.size=64",
            f"model.encoders.audio.model={self.root / 'whisper'}",
            "+model.fast_encoders=false",
            f"data.manifest={self.root / 'manifest.jsonl'}",
            f"data.cache_dir={self.root / 'features'}",
            "data.reader.faces.detector=null",
            "data.reader.sampling.frames=2",
            "data.max_tokens=512",
            "launch.precision=fp32",
            "launch.workers=0",
            *stages,
            *more,
        ]

    @cached_property
    def cfg(self) -> Any:
        """The whole composed and checked configuration."""
        return config.checked(config.compose("train", self.overrides(self.root / "unused")))

    def model(self, attention: str = "sdpa") -> AffectMLLM:
        """A new model in eval mode."""
        node = self.cfg.model.copy()
        node.llm.attention = attention
        torch.manual_seed(0)
        return config.build(node).eval()

    @cached_property
    def data(self) -> DataSettings:
        return config.build(self.cfg.data)

    def maker(self, model: AffectMLLM) -> ExampleMaker:
        return self.data.maker(model.llm.tokenizer, model.span_lengths())

    @cached_property
    def samples(self) -> list[Sample]:
        return manifest.read(self.root / "manifest.jsonl")


def build(root: Path) -> Tiny:
    """Write the weight folders and the corpus."""
    torch.manual_seed(0)
    llm(root / "llm", tied=True)
    llm(root / "llm_untied")
    _vision(root / "vision")
    _whisper(root / "whisper")
    _corpus(root)
    return Tiny(root)


def llm(folder: Path, *, tied: bool = False, sentencepiece: bool = False) -> Path:
    """The folder of a tiny Llama: its head the embeddings themselves (`tied`), as SmolLM2 has it,
    or a matrix of its own, as most of 7B have it; a byte-level or a SentencePiece tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(_sentencepiece() if sentencepiece else _byte_level())
    tokenizer.save_pretrained(folder)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    net = LlamaForCausalLM(shape)
    with torch.no_grad():  # transformers' 0.02 would make every answer the same token
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.mul_(12)
    net.save_pretrained(folder)
    return folder


def _tokenizer(made: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<|pad|>", eos_token="<|im_end|>", chat_template=CHAT
    )


def _byte_level() -> Any:
    """As of Qwen, Llama 3 and SmolLM."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=500,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=SPECIAL,
            show_progress=False,
        ),
    )
    return bpe


def _sentencepiece() -> Any:
    """As of Llama 2 and Mistral: a space is `▁`, one is put before the text, bytes for the rest."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    pieces = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    pieces.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    pieces.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    every_byte = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces.train_from_iterator(
        TEXT.split(),
        trainers.BpeTrainer(
            vocab_size=500, special_tokens=["<unk>", *SPECIAL, *every_byte], show_progress=False
        ),
    )
    return pieces


def _vision(folder: Path) -> None:
    import timm
    from safetensors.torch import save_file

    folder.mkdir()
    net = timm.create_model("test_efficientnet", num_classes=3)
    save_file({name: t.contiguous() for name, t in net.state_dict().items()}, folder / WEIGHTS)
    spec = {"architecture": "test_efficientnet", "num_classes": 3}
    (folder / "config.json").write_text(json.dumps(spec))


def _whisper(folder: Path) -> None:
    from transformers import WhisperConfig, WhisperModel

    WhisperModel(
        WhisperConfig(
            vocab_size=20,
            d_model=16,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=32,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=0,
        )
    ).save_pretrained(folder)


WEIGHTS = "model.safetensors"


def _corpus(root: Path, count: int = 14) -> None:
    """Real clips of different length and sound; one has no sound, one is only a sound."""
    (root / "clips").mkdir()
    rows = []
    for i in range(count):
        emotion = EMOTIONS[i % 3]
        labels = {"emotion": emotion, "emotions": [emotion]}
        cues = ("description", "visual_cues", "vocal_cues", "verbal_cues")
        labels |= {cue: f"{cue.split('_')[0]} of {emotion}" for cue in cues}
        media = {"video": f"clips/c{i:02d}.mp4"}
        sound_s = None if i == 1 else 0.2 + 0.05 * i
        if i == 2:
            media = {"audio": "clips/c02.wav"}
            clips.make_sound(root / media["audio"], duration_s=0.3)
        else:
            clips.make_video(root / media["video"], frames=6 + i, sound_s=sound_s)
        rows.append(
            Sample(
                f"c{i:02d}",
                root,
                media=media,
                subtitle=f"sentence {i}",
                split="train" if i < 10 else "test",
                labels=labels,
            )
        )
    manifest.write(rows, root / "manifest.jsonl")


def states(seed: int, lengths: dict[str, int], widths: dict[str, int]) -> dict[str, np.ndarray]:
    """Random encoder states `[S, D]` by modality."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal((length, widths[name])).astype(np.float32)
        for name, length in lengths.items()
    }


def examples(
    tiny: Tiny, model: AffectMLLM, modalities: Sequence[Sequence[str]], answer: str | None = "happy"
) -> list[Example]:
    """One example for each list of modalities, each with its own states, lengths and words."""
    maker = tiny.maker(model)
    widths = {m: int(model.encoders[branch].hidden_size) for m, branch in model.branches.items()}
    made = []
    for i, names in enumerate(modalities):
        lengths = {name: 5 + 3 * i + 2 * k for k, name in enumerate(names) if name != "text"}
        subtitle = f"sentence {'really ' * i}{i}" if "text" in names else None
        made.append(
            maker.make(
                Sample(f"e{i}", tiny.root, subtitle=subtitle),
                states(i, lengths, widths),
                question=QUESTION,
                answer=answer,
            )
        )
    return made


@torch.no_grad()
def logits(model: AffectMLLM, batch: Batch) -> list[torch.Tensor]:
    """Logits `[L, V]` at every real position, by example."""
    every = batch.segments >= 0
    found = model(batch, lambda m, _, hidden: m.llm.logits(hidden.states[every]))
    owner = batch.segments[every]
    return [found[owner == i] for i in range(len(batch.sample_ids))]
