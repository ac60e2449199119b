"""How the reference cases of letters, yes and no are reached in this package."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.metrics.together import MME, PERCEPTION
from affect_mllm.eval.read import toolkit_letters
from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.policies import extract
from affect_mllm.types import Sample
from tests.eval.reference import read_of, values

LETTERS = ("A", "B", "C", "D")
YES = ("yes", "no")


def letter(given, *, policy: str, unread: object = "", labels=LETTERS):
    """The letter that a policy reads; `unread` where it reads none."""
    options = given.get("options", {})
    found = extract(given["response"], Space(labels=labels, options=options), policy)
    return unread if found.value is None else found.value


def verdict(given, *, policy: str, words=("yes", "no", "other")):
    found = extract(given["response"], Space(labels=YES), policy).label
    return words[2] if found is None else words[YES.index(found)]


def answered(rows, truths, policy, labels, **changes):
    """What a policy reads in each row's answer, beside the truth."""
    said = [
        extract(text, Space(labels=labels, options=options or {}), policy) for text, options in rows
    ]
    read = read_of(truths, [each.value for each in said], labels, **changes)
    return replace(read, status=[each.status for each in said])


def sample(number: int, **labels) -> Sample:
    return Sample(str(number), Path(), group=labels.pop("group", None), labels=labels)


def mme(given, *, policy: str):
    rows = given["rows"]
    samples = [
        sample(i, group=row["question_id"], category=row["category"]) for i, row in enumerate(rows)
    ]
    pairs = [(row["pred"], None) for row in rows]
    truths = [row["answer"].lower() for row in rows]
    return answered(pairs, truths, policy, YES, samples=samples)


def mme_sums(given, *, policy: str):
    return values(mme(given, policy=policy), perception="mme_perception", cognition="mme_cognition")


def mme_tasks(given, *, policy: str):
    read = mme(given, policy=policy)
    points = METRICS["mme_perception"].statistic(read).sum(0)
    each = 100 * points[:, 1] / points[:, 0] + 100 * points[:, 3] / points[:, 2]
    return dict(zip(MME, each.tolist(), strict=True))


def mme_tool_sums(given):
    tasks = mme_tasks(given, policy="mme_tool")
    cognition = {name: tasks[name] for name in MME if name not in PERCEPTION}
    return mme_sums(given, policy="mme_tool") | {"cognition_by_task": cognition}


def mme_lists(given):
    sums = mme_sums(given, policy="vlmevalkit_yes_no")
    tasks = mme_tasks(given, policy="vlmevalkit_yes_no")
    named = {"perception": sums["perception"], "reasoning": sums["cognition"]} | tasks
    return {name: [value] for name, value in named.items()}


def pope(rows, policy, **names):
    pairs = [(row["pred"], None) for row in rows]
    return values(answered(pairs, [row["answer"] for row in rows], policy, YES), **names)


def pope_official(given):
    return pope(given["rows"], "pope_official", accuracy="accuracy", precision="yes_precision",
                recall="yes_recall", f1_score="yes_f1", yes_ratio="yes_ratio")  # fmt: skip


def pope_lmms(given):
    return pope(given["rows"], "bare_yes_no", accuracy="accuracy", precision="yes_precision",
                recall="lmms_yes_recall", f1="lmms_yes_f1",
                yes_ratio="lmms_yes_ratio")  # fmt: skip


def pope_vlmevalkit(given):
    """A row of several categories counts in each, and as often in all of them."""
    rows = [r | {"part": part} for r in given["rows"] for part in r["category"].split(",")]
    parts = {"Overall": rows} | {
        part: [row for row in rows if row["part"] == part]
        for part in sorted({row["part"] for row in rows})
    }
    names = {"Overall": "yes_f1", "acc": "accuracy", "precision": "yes_precision",
             "recall": "yes_recall"}  # fmt: skip
    found = [pope(part, "vlmevalkit_yes_no", **names) for part in parts.values()]
    columns = {name: [100 * each[name] for each in found] for name in names}
    return {"split": list(parts), **columns}


def inferred(given, *, option, text):
    letters = given["options"]
    by_letter, by_text = option(given["response"], letters), text(given["response"], letters)
    return {"option": by_letter or False, "text": by_text or False,
            "final": by_letter or by_text or False}  # fmt: skip


def hit(given, *, policy: str):
    """Whether the one true letter is read."""
    return letter({"response": given["response"]}, policy=policy) == given["gt"]


def called_right(given):
    found = extract(given["response"], Space(labels=LETTERS), "mvbench_options").value
    return given["gt"][1] in (found or ())


def first_character(given):
    pred = given["response"].strip()[:1]
    right = letter(given, policy="first_character") == given["answer"]
    return {"pred": pred, "acc": float(right)}


def science(given):
    truth = LETTERS[given["answer_index"]]
    return {"exact_match": float(letter(given, policy="letter_with_period") == truth)}


def mmstar_rows(given, policy):
    rows = given["rows"]
    samples = [
        sample(i, category=row["category"], l2_category=row["l2_category"])
        for i, row in enumerate(rows)
    ]
    pairs = [(row["prediction"], None) for row in rows]
    return answered(pairs, [row["answer"] for row in rows], policy, LETTERS, samples=samples)


def parts_of(read, key):
    """The parts of answers by a label, in the order in which its values appear."""
    named = [each.labels[key] for each in read.samples]
    return {
        name: read.take([i for i, each in enumerate(named) if each == name])
        for name in dict.fromkeys(named)
    }


def mmstar_official(given):
    read = mmstar_rows(given, "mmstar_official")
    found: dict[str, float] = values(read, **{"final score": "mmstar_of_1500"})
    for name, part in parts_of(read, "category").items():
        found[str(name)] = 1500 / 250 * values(part, all="mmstar_of_1500")["all"]
        for inner, rows in parts_of(part, "l2_category").items():
            found[f"{name}({inner})"] = values(rows, all="accuracy")["all"]
    return found


def mmstar_lmms(given):
    read = mmstar_rows(given, "lmms_letter")
    parts = {"average": read} | parts_of(read, "category")
    return {n: values(part, all="l2_mean_accuracy")["all"] for n, part in parts.items()}


def mmbench(given, policy):
    rows = given["rows"]
    samples = [
        sample(row["index"], group=str(row["index"] % 10**6), category=row["category"],
               l2_category=row["l2-category"])
        for row in rows
    ]  # fmt: skip
    pairs = [(row["prediction"], {x: row[x] for x in LETTERS if row.get(x)}) for row in rows]
    return answered(pairs, [row["answer"] for row in rows], policy, LETTERS, samples=samples)


def circular_lmms(given):
    read = mmbench(given, "lmms_mmbench")
    found: dict[str, object] = {"overall": values(read, all="group_accuracy")["all"]}
    for key, ours in (("category", "category"), ("l2-category", "l2_category")):
        parts = parts_of(read, ours).items()
        found[key] = {n: values(part, all="group_accuracy")["all"] for n, part in parts}
    return found


def circular_vlmevalkit(given):
    read = mmbench(given, "vlmevalkit_choice")
    rows = METRICS["group_accuracy"].statistic(read)
    pairs = zip(read.samples, rows, strict=True)
    hits = {s.group: int(right) for s, (counts, right) in pairs if counts}
    return {"hit": hits, "overall": values(read, all="group_accuracy")["all"]}


def vanilla_vlmevalkit(given):
    read = mmbench(given, "vlmevalkit_choice")
    hits = {s.id: int(right) for s, right in zip(read.samples, read.right, strict=True)}
    return {"hit": hits, "overall": values(read, all="accuracy")["all"]}


def mvbench_mean(given):
    rows = given["rows"]
    truths = [LETTERS[row["candidates"].index(row["answer"])] for row in rows]
    pairs = [(row["pred"], None) for row in rows]
    read = answered(pairs, truths, "lmms_mvbench", (*LETTERS, "E"))
    return 100 * values(read, all="answered_accuracy")["all"]


def video_mme(given, policy):
    questions = [
        (video["duration"], question)
        for video in given["videos"] if not video["missing"]
        for question in video["questions"]
    ]  # fmt: skip
    samples = [sample(i, duration=duration) for i, (duration, _) in enumerate(questions)]
    pairs = [(question["response"], None) for _, question in questions]
    truths = [question["answer"] for _, question in questions]
    return answered(pairs, truths, policy, LETTERS, samples=samples)


def video_mme_official(given):
    read = video_mme(given, "video_mme_official")
    parts = parts_of(read, "duration") | {"entire": read}
    return {n: round(100 * values(p, all="answered_accuracy")["all"], 1) for n, p in parts.items()}


def video_mme_lmms(given):
    return {"overall": 100 * values(video_mme(given, "lmms_letter"), all="accuracy")["all"]}


def filtered(given):
    return toolkit_letters.filtered_letter(given["response"])


_LMMS = "lmms-eval"
_KIT = "vlmevalkit"
RANDOM = "<random>"
# (benchmark, function, source) → what gives the same.
FUNCTIONS = {
    ("MME", "parse_yes_no", _LMMS): partial(verdict, policy="lmms_mme"),
    ("MME", "parse_yes_no", "mme-official-tool"): partial(verdict, policy="mme_tool"),
    ("MME/POPE/Hallusion", "parse_yes_no", _KIT): partial(
        verdict, policy="vlmevalkit_yes_no", words=("Yes", "No", "Unknown")
    ),
    ("MME", "aggregate_acc_plus", _LMMS): partial(mme_sums, policy="lmms_mme"),
    ("MME", "aggregate_acc_plus", "mme-official-tool"): mme_tool_sums,
    ("MME", "aggregate_acc_plus", _KIT): mme_lists,
    ("POPE", "aggregate", _LMMS): pope_lmms,
    ("POPE", "aggregate", _KIT): pope_vlmevalkit,
    ("POPE", "aggregate", "pope-official"): pope_official,
    ("MCQ", "extract_letter_generic", "lmms-eval:mcq_extract"): partial(
        letter, policy="lmms_letter"
    ),
    ("MCQ", "can_infer", _KIT): partial(
        inferred, option=toolkit_letters.near_end, text=toolkit_letters.short_text
    ),
    ("MMBench", "can_infer", _LMMS): partial(
        inferred,
        option=lambda response, _: toolkit_letters.mmbench_option(response),
        text=toolkit_letters.text_option,
    ),
    ("Video-MME", "extract_characters_regex", "video-mme-official"): partial(
        letter, policy="video_mme_official"
    ),
    ("Video-MME", "extract_characters_regex", _KIT): partial(letter, policy="vlmevalkit_video_mme"),
    ("Video-MME", "extract_characters_regex", _LMMS): partial(letter, policy="lmms_letter"),
    ("Video-MME-v2", "extract_characters_regex_v2", _KIT): partial(
        letter, policy="vlmevalkit_video_mme_v2"
    ),
    ("WorldSense", "extract_characters_regex", _KIT): partial(
        letter, policy="vlmevalkit_video_mme"
    ),
    ("MCQ", "extract_characters_regex_E", _KIT): partial(letter, policy="vlmevalkit_letter_e"),
    ("MVBench", "mcq_acc", _LMMS): lambda given: int(hit(given, policy="lmms_mvbench")),
    ("MVBench", "check_ans", _KIT): called_right,
    ("MVBench", "check_ans", "mvbench-official"): called_right,
    ("MVBench", "aggregate", _LMMS): mvbench_mean,
    ("MMMU", "parse_multi_choice", "mmmu-official"): partial(
        letter, policy="mmmu_official", unread=RANDOM
    ),
    ("MMMU", "parse_multi_choice", _LMMS): partial(letter, policy="lmms_mmmu", unread=RANDOM),
    ("SEED-Bench", "first_char", _LMMS): first_character,
    ("ScienceQA", "exact_match", _LMMS): science,
    ("MMStar", "exact_match", _LMMS): lambda given: float(
        letter(given, policy="lmms_letter") == given["answer"]
    ),
    ("MMStar", "aggregate", "mmstar-official"): mmstar_official,
    ("MMStar", "aggregate", _LMMS): mmstar_lmms,
    ("AI2D", "multi_choice_regex_filter", _LMMS): filtered,
    ("MMBench", "circular_eval", _LMMS): circular_lmms,
    ("MMBench", "circular_eval", _KIT): circular_vlmevalkit,
    ("MMBench", "vanilla_eval", _KIT): vanilla_vlmevalkit,
    ("Video-MME", "aggregate", "video-mme-official"): video_mme_official,
    ("Video-MME", "aggregate", _LMMS): video_mme_lmms,
}
