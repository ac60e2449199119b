"""LLaVA-1.5's instructions → manifest: `python data_recipes/llava_mix665k.py FOLDER`.

FOLDER has `llava_v1_5_mix665k.json`, a list of `{"id", "image", "conversations"}` (no image: text
alone), and the pictures as LLaVA lays them out: `coco/train2017`, `gqa/images`, `ocr_vqa/images`,
`textvqa/train_images`, `vg/VG_100K`, `vg/VG_100K_2`. Ids that the file uses again get `#2`, `#3` ….
As replay of general data: `conf/replay/conversations.yaml`.
Format: haotian-liu/LLaVA (README, "Visual Instruction Tuning"; docs/Finetune_Custom_Data.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import conversations
from commandline import app
from recipe import Dataset, Entry, Inputs

FILE = "llava_v1_5_mix665k.json"
DATASET = Dataset(
    name="llava_mix665k",
    title="LLaVA-1.5 mix of instructions (pictures and text; general)",
    licence="CC BY 4.0, of GPT's answers by OpenAI's terms; pictures under their sources' terms",
    access="open, https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K",
    source="Liu et al. 2023, arXiv 2310.03744",
    counts={"train": 665298},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each conversation."""
    return conversations.rows(inputs, file=inputs.folder / FILE, split="train")


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
