"""The extraction policies by name. A policy's name carries its version; none is ever changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from affect_mllm.eval.read import (
    centred,
    claims,
    closed,
    free,
    joint,
    letters,
    lists,
    mmmu,
    numbers,
    polarity,
    preference,
    publishers,
    shares,
    short,
    toolkit_letters,
    toolkit_verdicts,
    yes_no,
)
from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.types import ConfigError

Gives = Literal["label", "labels", "number", "shares", "text", "senses"]


@dataclass(frozen=True)
class Policy:
    """A function from an answer to an Extraction, and what kind of value it gives.

    `joined_by` is what must stand in each of the task's labels.
    """

    read: Callable[[str, Space], Extraction]
    gives: Gives
    joined_by: str = ""


POLICIES: dict[str, Policy] = {
    "closed_label_v4": Policy(closed.closed_label_v4, "label"),
    "centred_label_v1": Policy(centred.centred_label_v1, "label"),
    "joint_label_v3": Policy(joint.joint_label_v3, "label", joint.SEPARATOR),
    "multi_label_v3": Policy(closed.multi_label_v3, "labels"),
    "label_list_v3": Policy(lists.label_list_v3, "labels"),
    "polarity_v3": Policy(polarity.polarity_v3, "label"),
    "number_v2": Policy(numbers.number_v2, "number"),
    "shares_v3": Policy(shares.shares_v3, "shares"),
    "letter_v2": Policy(letters.letter_v2, "label"),
    "yes_no_v2": Policy(yes_no.yes_no_v2, "label"),
    "preference_v2": Policy(preference.preference_v2, "label"),
    "text_v2": Policy(free.text_v2, "text"),
    "claims_v1": Policy(claims.claims_v1, "senses"),
    "short_answer_v1": Policy(short.short_answer_v1, "text"),
    "choice_or_short_v1": Policy(short.choice_or_short_v1, "text"),
    "affectgpt_list": Policy(publishers.affectgpt_list, "labels"),
    "affectgpt_sentiment": Policy(publishers.affectgpt_sentiment, "label"),
    "exact_lower": Policy(publishers.exact_lower, "label"),
    "first_substring_in_answer": Policy(publishers.first_substring_in_answer, "label"),
    "first_substring": Policy(publishers.first_substring, "label"),
    "first_of_each": Policy(publishers.first_of_each, "label", joint.SEPARATOR),
    "mer_prefer": Policy(publishers.mer_prefer, "label"),
    "any_number": Policy(publishers.any_number, "number"),
    **{name: Policy(read, "label") for name, read in toolkit_letters.READERS.items()},
    **{name: Policy(read, "label") for name, read in toolkit_verdicts.READERS.items()},
    "mvbench_options": Policy(toolkit_letters.mvbench_options, "labels"),
    "mmmu_official": Policy(mmmu.mmmu_official, "text"),
    "lmms_mmmu": Policy(mmmu.lmms_mmmu, "text"),
    "as_it_is": Policy(mmmu.as_it_is, "text"),
}


def extract(response: str, space: Space, policy: str) -> Extraction:
    """What `policy` reads in `response`; ConfigError for a policy that does not exist."""
    if policy not in POLICIES:
        raise ConfigError("extraction", repr(policy), expected=f"one of {sorted(POLICIES)}")
    return POLICIES[policy].read(response, space)
