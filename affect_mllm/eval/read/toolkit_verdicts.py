"""How publishers and toolkits read yes and no, faults included; for `compat` alone.

The first label of the task is the yes. What they send to a judge is not read here. Sources as in
`toolkit_letters.py`.
"""

from __future__ import annotations

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.vqa_words import bare_words


def _side(yes: bool | None, space: Space) -> Extraction:
    if yes is None:
        return Extraction(None, "out_of_vocabulary")
    return Extraction(space.labels[not yes], "ok")


def _begins(text: str) -> bool | None:
    """Which of yes and no is in the first four characters."""
    return True if "yes" in text[:4] else False if "no" in text[:4] else None


def mme_tool(response: str, space: Space) -> Extraction:
    """MME's `calculation.py` (as in zjunlp/Deco@fee8d75): yes, else no, in the first four
    characters of the answer in lower case, nothing taken off."""
    return _side(_begins(response.lower()), space)


def lmms_mme(response: str, space: Space) -> Extraction:
    """The same in lmms-eval without spaces around and periods; a single y or n counts, too."""
    text = response.lower().strip().replace(".", "")
    single = {"y": True, "n": False}
    return _side(single.get(text) if len(text) == 1 else _begins(text), space)


def vlmevalkit_yes_no(response: str, space: Space) -> Extraction:
    """VLMEvalKit: exactly one of yes and no among the words."""
    words = bare_words(response.lower())
    yes, no = "yes" in words, "no" in words
    return _side(yes if yes != no else None, space)


def pope_official(response: str, space: Space) -> Extraction:
    """RUCAIBox/POPE@3df3ba1: of the text before the first period, "No", "no" or "not" is no, and
    anything else yes."""
    words = response.split(".")[0].replace(",", "").split(" ")
    return _side({"No", "no", "not"}.isdisjoint(words), space)


def bare_yes_no(response: str, space: Space) -> Extraction:
    """POPE in lmms-eval: the word alone, in any case; "Yes." is none."""
    return _side({"yes": True, "no": False}.get(response.strip().lower()), space)


READERS = {
    each.__name__: each
    for each in (mme_tool, lmms_mme, vlmevalkit_yes_no, pope_official, bare_yes_no)
}
