"""What each subcommand is typed like, at the foot of its help."""

from __future__ import annotations

from textwrap import wrap

WIDTH = 76  # of a line of 80 with a margin and a stroke at its end
ASKING = ("predict", "demo", "serve")  # they are asked about people
EXAMPLES = {
    "train": "experiment=own_clips data.manifest=rows.jsonl",
    "eval": "benchmark=own_clips manifest=rows.jsonl checkpoint=DIR",
    "predict": "clip.mp4 --subtitle auto --checkpoint outputs/own_clips/train/instruct/final",
    "demo": "outputs/own_clips/train/instruct/final --beside outputs/demo/train/instruct/final",
    "serve": "outputs/own_clips/train/instruct/final --name feelings",
    "score": "--benchmark dfew --predictions p.csv --manifest rows.jsonl",
    "compare": "outputs/first outputs/second",
    "board": "outputs",
    "judge": "--rubric emer --predictions p.csv --manifest rows.jsonl --model DIR",
    "extract": "--predictions p.jsonl --out labels.jsonl --model DIR",
    "report": "outputs/demo",
    "manifest": "--csv clips.csv --media-root clips --out rows.jsonl",
    "recipe": "meld MELD.Raw",
    "validate": "rows.jsonl --decode",
    "import": "affectgpt theirs.pth --llm Qwen/Qwen2.5-7B-Instruct --out DIR",
    "describe": "experiment=affectgpt",
    "estimate": "experiment=affectgpt launch=ddp --processes 8 --fit 80GiB",
    "export": "outputs/own_clips/train/instruct/final --out exported",
    "cache": "experiment=own_clips data.manifest=rows.jsonl",
    "cues": "rows.jsonl --out cued.jsonl --by speaker",
    "probe": "rows.jsonl --audio whisper_base --out probes",
    "spread": "outputs/seeds",
    "gpu-check": "--only memory",
    "tiny": "outputs/tiny --experiment affectgpt",
    "assets": "--only whisper-base",
}


def example(name: str) -> str:
    """The lines for the subcommand `name`, as they are typed, under a heading; empty without.

    Behind those of a command that is asked about people stands where the law is explained.
    """
    if name not in EXAMPLES:
        return ""
    typed = wrap(f"affect-mllm {name} {EXAMPLES[name]}", WIDTH, break_on_hyphens=False)
    return "Example:\n" + " \\\n".join(typed) + (_law() if name in ASKING else "")


def _law() -> str:
    from affect_mllm.config import docs_dir

    return f"\n\nFaces, voices and the law:\n{docs_dir() / 'privacy.md'}"
