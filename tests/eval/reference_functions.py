"""How each function of the reference cases is reached in this package."""

from __future__ import annotations

from dataclasses import asdict, replace

from scipy.optimize import brentq

from affect_mllm.eval.metrics import classes, overlap
from affect_mllm.eval.metrics.judged import chain
from affect_mllm.eval.metrics.publishers import step_scores
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.policies import extract
from affect_mllm.eval.read.publishers import strip_reasoning
from affect_mllm.eval.score import statistics
from affect_mllm.eval.score.one_answer import level_mean
from tests.eval.reference import read_of, values


def classification(given):
    read = read_of(given["y_true"], given["y_pred"], given["labels"])
    found = values(read, WAR="war", UAR="uar", balanced_accuracy="uar",
                   macro_recall_all_labels="macro_recall", weighted_f1="weighted_f1",
                   macro_f1="macro_f1", micro_f1="micro_f1", cohen_kappa="kappa")  # fmt: skip
    return found | {"confusion": classes.confusion(read)[:, :-1].astype(int).tolist()}


def dfew_war_uar(given):
    labels = sorted({*given["y_true"], *given["y_pred"]})
    return values(read_of(given["y_true"], given["y_pred"], labels), WAR="war", UAR="dfew_uar")


def five_fold(given):
    truth = [each for fold in given["folds"] for each in fold["y_true"]]
    answers = [each for fold in given["folds"] for each in fold["y_pred"]]
    read = read_of(truth, answers, given["labels"])
    folds = [number for number, fold in enumerate(given["folds"]) for _ in fold["y_true"]]
    samples = [replace(s, labels={"fold": f}) for s, f in zip(read.samples, folds, strict=True)]
    return values(replace(read, samples=samples), WAR_mean="dfew_fold_war",
                  UAR_mean="dfew_fold_uar", WAR_pooled="war", UAR_pooled="uar")  # fmt: skip


def mosi(given):
    read = read_of(given["y_true"], given["y_pred"], low=-3.0, high=3.0)
    return values(read, Has0_acc_2="mmsa_acc2_has0", Has0_F1_score="mmsa_f1_has0",
                  Non0_acc_2="mmsa_acc2_non0", Non0_F1_score="mmsa_f1_non0",
                  Mult_acc_5="mmsa_acc5", Mult_acc_7="mmsa_acc7", MAE="mmsa_mae",
                  Corr="mmsa_pearson")  # fmt: skip


def sims(given):
    read = read_of(given["y_true"], given["y_pred"], low=-1.0, high=1.0)
    return values(read, Mult_acc_2="mmsa_sims_acc2", Mult_acc_3="mmsa_sims_acc3",
                  Mult_acc_5="mmsa_sims_acc5", F1_score="mmsa_sims_f1", MAE="mmsa_sims_mae",
                  Corr="mmsa_sims_pearson")  # fmt: skip


def continuous(given):
    read = read_of(given["y_true"], given["y_pred"], low=-1.0, high=1.0)
    return values(read, pearson="pearson", spearman="spearman", mae="mae", rmse="rmse",
                   ccc_population="ccc", r2="r2", sagr="sagr",
                   kendall_tau_b="kendall_tau")  # fmt: skip


def multilabel(given):
    names = tuple(f"l{i}" for i in range(len(given["y_true"][0])))
    truth = [tuple(n for n, y in zip(names, row, strict=True) if y) for row in given["y_true"]]
    said = [
        tuple(n for n, y in zip(names, row, strict=True) if y >= given["threshold"])
        for row in given["scores"]
    ]
    scores = [dict(zip(names, row, strict=True)) for row in given["scores"]]
    predictions = [Prediction(str(i), scores=row) for i, row in enumerate(scores)]
    read = replace(read_of(truth, said), labels=names, predictions=predictions)
    return values(read, micro_f1="set_micro_f1", macro_f1="set_macro_f1",
                   samples_f1="set_sample_f1", jaccard_samples="set_jaccard",
                  hamming="set_hamming", subset_acc="set_accuracy", map="set_map")  # fmt: skip


def distribution(given):
    names = tuple(f"l{i}" for i in range(len(given["true"][0])))
    truth, said = (
        [dict(zip(names, row, strict=True)) for row in given[key]] for key in ("true", "pred")
    )
    return values(replace(read_of(truth, said), labels=names), chebyshev="chebyshev",
                  canberra="canberra", clark="clark", cosine="cosine",
                  intersection="intersection", kl_true_pred="kl_divergence")  # fmt: skip


def vce_topk(given):
    labels = tuple(f"e{i}" for i in range(len(given["scores"][0])))
    predictions = [
        Prediction(str(i), scores=dict(zip(labels, row, strict=True)))
        for i, row in enumerate(given["scores"])
    ]
    said = [max(p.scores, key=p.scores.__getitem__) for p in predictions]
    read = read_of([labels[i] for i in given["argmax_label"]], said, labels)
    return values(replace(read, predictions=predictions), top1="accuracy", top3="top3_accuracy")


def vecbench(given):
    tasks = sorted({item["task"] for item in given["items"]})
    by_task = {name: [item for item in given["items"] if item["task"] == name] for name in tasks}
    return {
        "tasks": {n: _vec(rows, "first_substring_in_answer") for n, rows in by_task.items()},
        "overall": _vec(given["items"], "first_substring"),
    }


def _vec(items, policy):
    read = [
        extract(item["response"], Space(labels=tuple(item["candidates"])), policy).label
        for item in items
    ]
    labels = sorted({label for item in items for label in item["candidates"]})
    found = read_of([item["ground_truth"].lower() for item in items], read, labels)
    return {
        **values(found, accuracy="accuracy", f1_score="weighted_f1"),
        "total_samples": len(items),
        "correct_samples": int(found.right.sum()),
    }


def calibrated(given):
    predictions = [Prediction(str(i), confidence=c) for i, c in enumerate(given["confidences"])]
    truth = ["yes"] * len(predictions)
    said = ["yes" if right else "no" for right in given["correct"]]
    read = replace(read_of(truth, said, ("yes", "no")), predictions=predictions)
    return values(read, ece10="ece_open_bins", brier="brier", roc_auc="auroc")


def emobench_m(given):
    truth = [sample["expected_value"].lower() for sample in given["samples"]]
    labels = tuple(sorted(set(truth)))
    said = [
        extract(sample["predicted_value"], Space(labels=labels), "exact_lower")
        for sample in given["samples"]
    ]
    read = read_of(truth, [each.label for each in said], labels)
    read = replace(read, status=[each.status for each in said])
    return values(read, accuracy="answered_accuracy", precision="answered_weighted_precision",
                  recall="answered_accuracy", f1_score="answered_weighted_f1")  # fmt: skip


def emobench_joint(given):
    truth, said = (
        [f"{sample[f'{side}_emotion']}_{sample[f'{side}_intent']}" for sample in given["samples"]]
        for side in ("expected", "predicted")
    )
    read = read_of(truth, said, sorted({*truth, *said}))
    found = values(read, joint_accuracy="accuracy", joint_precision="weighted_precision",
                   joint_recall="war", joint_f1="weighted_f1")  # fmt: skip
    return found | {"total": len(read)}


def emobench_eu(given):
    """Both letters are one label; the parts are scored one by one."""
    rows = given["rows"]
    parts = {"Overall": rows} | {
        name: [row for row in rows if row["cat"] == name] for name in {row["cat"] for row in rows}
    }
    return {name: _both(part) for name, part in parts.items()}


def _both(rows):
    truth = [row["emo_label"] + row["cause_label"] for row in rows]
    said = [row["emo_answer"] + row["cause_answer"] for row in rows]
    return values(read_of(truth, said, sorted({*truth, *said})), both="accuracy")["both"]


def judge_scores(given, *, fractions):
    scores = step_scores(given["judge_output"], fractions=fractions)
    found = chain(scores or [])
    steps = None if found is None else [found["recognition"], found["reasoning"], len(scores)]
    return {"scores": scores, "acc_reason_steps": steps}


def judge_means(given, *, fractions):
    """Published in percent; a reply that cannot be read is a verdict that the judge owes."""
    read = [step_scores(entry["score"], fractions=fractions) for entry in given["entries"]]
    rows = [chain(scores or []) for scores in read]
    found = values(read_of(rows, rows, verdicts=rows), recognition="recognition",
                   reasoning="reasoning", cot_alpha_0_5="cot")  # fmt: skip
    lengths = [len(scores) for scores in read if scores]
    return {"count": len(lengths), "avg_step": sum(lengths) / len(lengths)} | {
        name: 100 * value for name, value in found.items()
    }


def ratings(given):
    rows = [{"rating": score / 2} for score in given["judge_scores_0_2_x5"]]
    return values(read_of(rows, rows, verdicts=rows), rating="rating")["rating"]


def generation(given):
    pair = given["prediction"], given["reference"]
    return {"bleu": overlap.bleu(*pair), "rougeL": overlap.rouge_l(*pair)}


def level_tokens(given):
    levels = {"positive": 1.0, "neutral": 0.5, "negative": 0.0}
    return level_mean(dict(zip(levels, given["logits_pos_neu_neg"], strict=True)), levels)


def errors(given):
    scores = given["scores"]
    return {
        "mean": sum(scores) / len(scores),
        "stderr": statistics.standard_error(scores),
        "clustered_stderr": statistics.clustered_standard_error(scores, given["clusters"]),
    }


def power(given):
    given = dict(given)
    effect, n = given.pop("effect_size"), given.pop("current_n", None)
    design = statistics.Design(**given)
    found = {"min_n": design.samples_needed(effect), "effect_size": effect, **asdict(design)}
    if n is not None:
        found |= {"current_n": n, "current_power": round(_power(given, effect, n), 4),
                  "min_detectable_effect": round(design.detectable(n), 4)}  # fmt: skip
    return found


def _power(given, effect, n):
    """The power at which `effect` is the least difference that `n` samples show."""

    def gap(power):
        return statistics.Design(**{**given, "power": power}).detectable(n) - effect

    return brentq(gap, 1e-12, 1 - 1e-12, xtol=1e-12)


def repeated(given):
    found = statistics.stability(given["scores"])
    return {"EA": found.expected, "CA": found.consensus, "IV": found.variance,
            "CR": found.agreement}  # fmt: skip


def parts(given):
    return {
        name: statistics.mean_of_parts(given["metrics"], given["sizes"], weighted=weighted)
        for name, weighted in (("weighted", True), ("unweighted", False))
    }


def strip_tags(given):
    tags = [tuple(pair) for pair in given["tags"]]
    return strip_reasoning(given["text"], tags)


CLASSES = ("DFEW", "EmoSet-8", "IEMOCAP-4", "IEMOCAP-6", "MAFW-11", "MELD", "RAF-DB")
FUNCTIONS = {
    **{(name, "classification"): classification for name in CLASSES},
    ("DFEW", "war_uar"): dfew_war_uar,
    ("MAFW-11", "war_uar"): dfew_war_uar,
    ("DFEW", "five_fold"): five_fold,
    ("CMU-MOSI/MOSEI", "regression"): mosi,
    ("CH-SIMS", "regression"): sims,
    ("continuous affect", "regression"): continuous,
    ("multi-label emotion", "multilabel"): multilabel,
    ("emotion distribution", "ldl"): distribution,
    ("VCE", "topk"): vce_topk,
    ("VECBench", "by_task_and_overall"): vecbench,
    ("VECBench", "calibration"): calibrated,
    ("EmoBench-M", "classification"): emobench_m,
    ("EmoBench-M", "joint_emotion_intent"): emobench_joint,
    ("EmoBench-M", "generation_text_metrics"): generation,
    ("EmoBench-EU", "joint_accuracy"): emobench_eu,
    ("MME-Emotion", "parse_judge_score"): judge_scores,
    ("MME-Emotion", "aggregate"): judge_means,
    ("EEmo-Bench", "open_ended_score"): ratings,
    ("EEmo-Bench", "vad_assessment"): level_tokens,
    ("statistics", "stderr"): errors,
    ("statistics", "paired_ttest"): lambda g: asdict(
        statistics.paired_t(g["current"], g["baseline"])
    ),
    ("statistics", "power_analysis"): power,
    ("statistics", "k_sample_stability"): repeated,
    ("statistics", "pooled_stderr"): lambda g: statistics.pooled_standard_error(
        g["stderrs"], g["sizes"]
    ),
    ("statistics", "aggregate_subtasks"): parts,
    ("reasoning", "strip_tags"): strip_tags,
}
