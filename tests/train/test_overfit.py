"""A tiny model learns eight clips by heart (the real one: benchmarks/overfit.py)."""

from __future__ import annotations

from benchmarks.overfit import CLIPS, WANTED, by_heart, few, learnt

EVERYTHING = {
    "llm": {"match": r"llm\.net\..*(weight|lora_.*)", "lr": 1e-2},
    "connectors": {"match": [r"fusion\..*", r"compressors\..*"], "lr": 1e-2},
}


def test_a_tiny_model_learns_eight_clips_by_heart(tiny, tmp_path) -> None:
    rows = few(tiny.root / "manifest.jsonl", tmp_path)
    assert len(rows.read_text().splitlines()) == CLIPS
    kept = [text for text in tiny.overrides(tmp_path / "run") if "stages." not in text]
    kept = [text for text in kept if text != "experiment=demo" and "data.manifest" not in text]
    cfg = by_heart([*kept, f"data.manifest={rows}"], EVERYTHING, steps=50)
    assert learnt(cfg) >= WANTED
