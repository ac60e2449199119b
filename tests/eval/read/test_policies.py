"""Every policy on any text."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from affect_mllm.eval.read.base import STATUSES, Space
from affect_mllm.eval.read.policies import POLICIES, extract

SPACE = Space(("positive", "negative"), -1.0, 1.0, {"A": "she smiles", "B": "she cries"})
WORDS = (
    "not happy angry [1] -0.5 A B. (C) yes no <think> </think> <answer> </answer> 不 生气 , ; \n"
)
TEXTS = st.text(max_size=60) | st.lists(st.sampled_from(WORDS.split(" ")), max_size=14).map(
    " ".join
)
KINDS = {"label": str, "labels": tuple, "number": float, "shares": dict, "text": str,
         "senses": tuple}  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=60)
@given(response=TEXTS)
@example(response="NaN")
def test_any_text_gets_one_status_and_a_value_only_when_ok(policy, response):
    found = extract(response, SPACE, policy)
    assert found.status in STATUSES
    assert (found.value is not None) == (found.status == "ok")
    if found.status == "ok":
        assert isinstance(found.value, KINDS[POLICIES[policy].gives])
    assert extract(response, SPACE, policy) == found
