"""What a manifest's labels are, in words, and what about them a training would suffer from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from affect_mllm.data.label_space import Label, splits_of
from affect_mllm.data.row_checks import LABEL_RANGES

IMBALANCED = 3  # times as many rows as the rarest class
SHOWN = 30


def notes(labels: Mapping[str, Label], *, rows: Mapping[str, int]) -> Iterator[str]:
    """Lines about each label; `rows` are all rows of the manifest by split."""
    for key, label in labels.items():
        yield from _about(key, label)
        yield from (f"  warning: {each}" for each in warnings(label, rows=rows))


def warnings(label: Label, *, rows: Mapping[str, int]) -> Iterator[str]:
    """What is missing or out of balance, and what an answer would be read otherwise as."""
    gaps = [f"{n - label.rows.get(s, 0)} of {n} in {s}" for s, n in rows.items() if n]
    gaps = [gap for gap in gaps if not gap.startswith("0 ")]
    if gaps:
        yield f"rows without it, which are asked for other labels: {', '.join(gaps)}"
    if not label.counts:
        return
    from affect_mllm.eval.own_labels import misread

    for split in splits_of([label]):
        lacking = [name for name, counts in label.counts.items() if not counts.get(split)]
        if lacking:
            yield f"no row in {split}: {_listed(lacking)}{_means(split)}"
    yield from _balance(label)
    yield from misread(label.classes, label.kind)


def _about(key: str, label: Label) -> Iterator[str]:
    total = sum(label.rows.values())
    if label.kind == "number":
        low, high = label.scale
        how = f"as they are; --scale {key}=LOW:HIGH says other ends"
        if key in LABEL_RANGES:
            how = f"mapped: {label.rule}" if label.rule else "the manifest's"
        yield f"{key}: {total} numbers on a scale from {low:g} to {high:g} ({how})"
    elif label.kind == "text":
        yield f"{key}: {total} texts"
    else:
        splits = splits_of([label])
        what = "classes" if label.kind == "classes" else "words in lists"
        yield f"{key}: {len(label.counts)} {what} of {total} rows ({', '.join(splits)})"
        for name in list(label.counts)[:SHOWN]:
            counts = ", ".join(str(label.counts[name].get(split, 0)) for split in splits)
            yield f"  {name}: {counts}"
        if len(label.counts) > SHOWN:
            yield f"  … and {len(label.counts) - SHOWN} more"


def _balance(label: Label) -> Iterator[str]:
    train = {name: n for name, counts in label.counts.items() if (n := counts.get("train", 0))}
    if len(train) < 2 or label.kind != "classes":
        return
    most, least = max(train, key=lambda n: train[n]), min(train, key=lambda n: train[n])
    if train[most] >= IMBALANCED * train[least]:
        share = train[most] / sum(train.values())
        yield (
            f"imbalanced: {most} has {train[most]} training rows ({share:.0%}), {least} "
            f"{train[least]}; look at uar and macro_f1 beside accuracy"
        )


def _means(split: str) -> str:
    return {"train": " (nothing to learn it from)", "test": " (it is not tested)"}.get(split, "")


def _listed(names: list[str]) -> str:
    more = [f"… and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join(names[:SHOWN] + more)
