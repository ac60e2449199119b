"""How the reference cases of short texts and of judged answers are reached in this package."""

from __future__ import annotations

from functools import partial

from affect_mllm.eval.read import mmmu, vqa_words
from tests.eval.reference import read_of, values
from tests.eval.reference_choices import LETTERS, sample


def candidates(given):
    return sorted(map(str, mmmu.open_candidates(given["response"])))


def said_open(given):
    gold = given["gold"]
    return mmmu.says(given["response"], [gold] if isinstance(gold, str) else gold)


def mmmu_mean(given):
    rows = given["rows"]
    truths = [(row["answer"],) if isinstance(row["answer"], str) else row["answer"] for row in rows]
    samples = [
        sample(i, **({"options": LETTERS} if row["question_type"] == "multiple-choice" else {}))
        for i, row in enumerate(rows)
    ]
    read = read_of(truths, [row["parsed_pred"][0] for row in rows], samples=samples)
    return values(read, all="mmmu_accuracy")["all"]


def short(given, *, metric: str, truth: str = "answers", **labels):
    """The score of one short answer, which is not changed in reading."""
    truths = given[truth] if isinstance(given[truth], list) else [given[truth]]
    read = read_of([tuple(truths)], [given["prediction"]], samples=[sample(0, **labels)])
    return values(read, all=metric)["all"]


def textvqa_vlmevalkit(given):
    form = vqa_words.vlmevalkit_form(given["prediction"])
    return {"pred_norm": form, "score": short(given, metric="vqa_accuracy_vlmevalkit")}


def ocr_lmms(given):
    return int(short(given, metric="contains", question_type=given["question_type"]))


OCR_PARTS = {
    "Scene Text-centric VQA": "Scene Text-centric VQA",
    "Doc-oriented VQA": "Doc-oriented VQA",
    "Key Information Extraction": "Key Information Extraction",
    "Handwritten Mathematical Expression Recognition": (
        "Handwritten Mathematical Expression Recognition"
    ),
}


def ocr_vlmevalkit(given):
    found = int(short(given, metric="contains_plain", question_type=given["category"]))
    part = OCR_PARTS.get(given["category"], "Text Recognition")
    parts = dict.fromkeys(["Text Recognition", *OCR_PARTS], 0) | {part: found}
    return parts | {"Final Score": found, "Final Score Norm": found / 10}


def judged(rows):
    scores = [{"rating": row["score"]} for row in rows]
    return 100 * values(read_of(scores, scores, verdicts=scores), all="rating")["all"]


def mm_vet(given):
    rows = [row | {"parts": row["capabilities"].split(",")} for row in given["rows"]]
    names = ("rec", "ocr", "know", "gen", "spat", "math")
    combos = dict.fromkeys("_".join(row["parts"]) for row in rows)
    by_one = {name: [row for row in rows if name in row["parts"]] for name in names}
    by_all = {n: [row for row in rows if "_".join(row["parts"]) == n] for n in combos}
    # There, a capability and the combination of it alone share their counters.
    twice = {name: by_one[name] + by_all[name] for name in {*by_one} & {*by_all}}
    by_one, by_all = by_one | twice, by_all | twice

    def columns(parts):
        parts = parts | {"Overall": rows}
        return {"Category": list(parts), "tot": [len(part) for part in parts.values()],
                "acc": [judged(part) for part in parts.values()]}  # fmt: skip

    return {"by_capability": columns(by_one), "by_combo": columns(by_all)}


_LMMS = "lmms-eval"
_KIT = "vlmevalkit"
# (benchmark, function, source) → what gives the same.
FUNCTIONS = {
    ("MMMU", "parse_open", "mmmu-official"): candidates,
    ("MMMU", "eval_open", "mmmu-official"): said_open,
    ("MMMU", "normalize_str", "mmmu-official"): lambda given: mmmu.normal(given["s"]),
    ("MMMU", "aggregate", _LMMS): mmmu_mean,
    ("VQAv2", "vqa_accuracy", "vqa-official"): partial(short, metric="vqa_accuracy_official"),
    ("VQAv2", "vqa_accuracy", _LMMS): partial(short, metric="vqa_accuracy"),
    ("TextVQA", "vqa_accuracy", _LMMS): partial(short, metric="vqa_accuracy_evalai"),
    ("TextVQA", "vqa_accuracy", _KIT): textvqa_vlmevalkit,
    ("VQA", "normalise_answer", "lmms-eval:EvalAI"): lambda g: vqa_words.evalai_form(g["s"]),
    ("VQA", "normalise_answer", _KIT): lambda given: vqa_words.vlmevalkit_form(given["s"]),
    ("DocVQA", "anls", _LMMS): partial(short, metric="anls"),
    ("DocVQA", "anls", _KIT): partial(short, metric="anls"),
    ("ChartQA", "relaxed_correctness", _LMMS): lambda given: bool(
        short(given, metric="relaxed_accuracy_plain", truth="target")
    ),
    ("ChartQA", "relaxed_correctness", _KIT): lambda given: bool(
        short(given, metric="relaxed_accuracy_stripped", truth="target")
    ),
    ("GQA/OCRVQA", "accuracy", _KIT): partial(short, metric="exact_match", truth="target"),
    ("OCRBench", "contains", _LMMS): ocr_lmms,
    ("OCRBench", "contains", _KIT): ocr_vlmevalkit,
    ("MM-Vet", "aggregate", _LMMS): lambda given: judged(given["rows"]),
    ("MM-Vet", "aggregate", _KIT): mm_vet,
}
