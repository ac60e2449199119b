"""claims_v1: which senses a description speaks of, by the words of `data.senses`.

What is read is the text of `text_v2`; a clause that says that nothing can be heard or seen is no
claim. An answer without any claim is read, too.
"""

from __future__ import annotations

from affect_mllm.data.senses import SENSES, speaks_of
from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.free import text_v2


def claims_v1(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file: `audio`, `face`, both or none."""
    found = text_v2(response, space)
    if not isinstance(found.value, str):
        return found
    text = found.value
    return Extraction(tuple(sense for sense in SENSES if speaks_of(text, sense)), "ok")
