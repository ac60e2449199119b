"""How publishers and toolkits find the letter of an option, faults included; for `compat` alone.

Where one of them draws an option at random or asks a language model, nothing is read here.
lmms-eval is EvolvingLMMs-Lab/lmms-eval@75571cf, VLMEvalKit open-compass/VLMEvalKit@e8e78f0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.vqa_words import punctuated

# lmms-eval's `mcq_extract`: what surrounds a letter, the likelier first.
_AROUND = (("(", ")"), ("", "."), ("", ":"), ("", ")"), ("", " "))
_START, _END, _PHRASE = 10, 9, 7
_BEFORE = {
    "answer": ("the ", "", "the correct ", "correct ", "the best ", "best ", "my "),
    "option": ("the correct ", "correct ", "the best ", "best "),
    "choice": ("the ", "", "the correct ", "correct ", "my "),
}
_PHRASES = (
    *(f"{before}{thing} is" for thing, words in _BEFORE.items() for before in words),
    *("i choose", "i select", "i pick", "옵션", "정답은", "답은", "답:"),
    *("答案是", "答案为", "选", "答えは"),
)
_TRIMMED = (",", ".", "!", "?", ";", ":", "'")
_FAILED = "Failed to obtain answer via API"


def letters_of(space: Space) -> tuple[str, ...]:
    """The letters of a row's options, or of the task."""
    return tuple(space.options) or space.labels


def told(letter: str | None) -> Extraction:
    """A letter that was found, or none."""
    return Extraction(letter, "ok") if letter else Extraction(None, "out_of_vocabulary")


def lmms_letter(response: str, space: Space) -> Extraction:
    """lmms-eval `mcq_extract`: the letter in the likeliest surroundings, of equal ones the last.

    Capital letters alone; any occurrence counts where nothing better is found ("Based": B).
    """
    if not response.strip():
        return Extraction(None, "empty")
    return told(_likeliest(response, letters_of(space)))


def _likeliest(response: str, letters: Sequence[str]) -> str | None:
    text = response.strip()
    for mark in (*_TRIMMED, '"'):
        text = text.strip(mark)
    text = f" {text} "
    found = [*_placed(text, letters)]
    if not found:
        found = [(0, text.rfind(letter), letter) for letter in letters if letter in text]
    return max(found, key=lambda each: each[:2])[2] if found else None


def _placed(text: str, letters: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """(weight, place, letter) of each letter that stands like one of an option."""
    for weight, (before, after) in zip(range(6, 1, -1), _AROUND, strict=True):
        for letter in letters:
            if (form := f"{before}{letter}{after}") in text:
                yield weight, text.rfind(form), letter
    lowered, inner = text.lower(), text.strip()
    for phrase in _PHRASES:
        start = lowered.find(phrase)
        for letter in letters if start >= 0 else ():
            if (place := text.find(letter, start + len(phrase))) >= 0:
                yield _PHRASE, place, letter
    for letter in letters:
        if inner.startswith(letter) and not inner[1:2].isalpha():
            yield _START, 0, letter
        if inner.endswith(letter) and not inner[-2:-1].isalpha():
            yield _END, len(text) - 1, letter


def lmms_mmbench(response: str, space: Space) -> Extraction:
    """lmms-eval's MMBench without a judge: a letter by itself, else the one option whose text
    occurs, else `lmms_letter`."""
    found = mmbench_option(response) or text_option(response, space.options)
    return told(found) if found else lmms_letter(response, space)


def mmbench_option(response: str) -> str | None:
    """MMBench's own rule: exactly one of A to E stands alone, perhaps between some marks.

    Beside an "A", which may be an article, bare letters do not count in more than three words.
    """
    words, letters = response.split(), "ABCDE"
    if _FAILED in response:
        return None
    affixes = [("", ""), ("", "."), ("", ","), ("", ":"), ("", ")"), ("", ")."), ("(", ")")]
    affixes += [("(", ")."), (":", ""), (":", ","), (":", "."), (":", ")"), (":", ").")]
    for before, after in affixes:
        found = [letter for letter in letters if f"{before}{letter}{after}" in words]
        article = not before + after and "A" in words and len(words) > 3
        if len(found) == 1 and not article:
            return found[0]
    return None


def text_option(response: str, options: Mapping[str, str]) -> str | None:
    """The letter of the only option whose text is a part of the answer."""
    lowered = response.lower()
    found = [letter for letter, text in options.items() if str(text).lower() in lowered]
    return found[0] if len(found) == 1 else None


_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_ANSWER_IS = re.compile(r"answer\s+is\s+\**([ABCD])", re.IGNORECASE)
NONE_OF_THEM = "Z"


def vlmevalkit_choice(response: str, space: Space) -> Extraction:
    """VLMEvalKit's `can_infer` without a judge: the option, else the text of one."""
    letter = near_end(response, letters_of(space)) or short_text(response, space.options)
    return Extraction(None, "refused") if letter == NONE_OF_THEM else told(letter)


def near_end(response: str, letters: Sequence[str]) -> str | None:
    """The only letter among the words, if it is one of the last five; else after "answer is".

    "Z" stands for none of them: a refusal in words that it knows, or a bare Z.
    """
    if _FAILED in response:
        return None
    if any(words in response for words in _REFUSALS):
        return NONE_OF_THEM
    words = response.translate(dict.fromkeys(map(ord, ".()[],:;!*#{}"), " ")).split()
    found = [letter for letter in letters if letter in words]
    if len(found) == 1 and words.index(found[0]) > len(words) - 5:
        return found[0]
    if not found and NONE_OF_THEM in words:
        return NONE_OF_THEM
    said = _ANSWER_IS.search(response)
    return said[1].upper() if said and said[1].upper() in letters else None


def short_text(response: str, options: Mapping[str, str]) -> str | None:
    """`text_option` in an answer of at most twice the length of all options."""
    if len(response) > 2 * sum(len(str(text)) for text in options.values()):
        return None
    return text_option(response, options)


_IS = ("The best answer is", "The correct answer is", "The answer is", "The answer")
# Missing commas in the source make one prefix of two.
_JOINED = ("The best option isThe correct option is", "Best answer:Best option:")
_APART = ("The best option is", "The correct option is", "Best answer:", "Best option:")
_NAMED = ("Answer:", "Option:")


def _first_letter(prefixes: Sequence[str], letters: str) -> Callable[[str, Space], Extraction]:
    """A policy: the first of the letters anywhere, once the prefixes are taken out."""

    def read(response: str, space: Space) -> Extraction:
        text = response.strip()
        for prefix in prefixes:
            text = text.replace(prefix, "")
        found = re.search(f"[{letters}]", text)
        return told(found[0]) if found else Extraction(None, "empty")

    return read


# thanku-all/parse_answer@afd52cf; what has no letter is left out of its denominator ("empty").
video_mme_official = _first_letter(
    (*_IS, *_JOINED, *_NAMED, "The correct answer", "The correct option"), "ABCD"
)
vlmevalkit_video_mme = _first_letter((*_IS, *_JOINED, *_NAMED), "ABCD")  # WorldSense, too
vlmevalkit_video_mme_v2 = _first_letter(("Final Answer:", *_IS, *_APART, *_NAMED), "A-H")
_to_e = _first_letter((*_IS, *_APART), "ABCDE")


def vlmevalkit_letter_e(response: str, space: Space) -> Extraction:
    """VLMEvalKit's rule for five options: the first letter, else "b" or "(b" itself."""
    found = _to_e(response, space)
    text = response.strip()
    for prefix in (*_IS, *_APART):
        text = text.replace(prefix, "")
    if found.value is None and text:
        return told(next((x for x in "ABCDE" if text.lower() in f"({x.lower()})"), None))
    return found


def first_character(response: str, space: Space) -> Extraction:
    """SEED-Bench in lmms-eval: the first character, in either case."""
    text = response.strip()[:1].upper()
    return told(text if text in letters_of(space) else None)


def letter_with_period(response: str, space: Space) -> Extraction:
    """ScienceQA in lmms-eval (from LLaVA): the letter itself, or a capital one before a period."""
    text = response.strip()
    letter = text.upper() if len(text) == 1 else text[0] if text[1:2] == "." else ""
    return told(letter if letter.isupper() and letter in letters_of(space) else None)


def filtered_letter(response: str) -> str:
    """AI2D's filter in lmms-eval: a capital letter before a period at the beginning, else all."""
    found = re.match(r"\s*([A-Z])\.", response)
    return found[1] if found else response


def ai2d_letter(response: str, space: Space) -> Extraction:
    """What that filter leaves, without its punctuation, if it is a letter in either case."""
    text = re.sub(r"[!-/:-@\[-`{-~]", "", filtered_letter(response)).upper()
    return told(text if text in letters_of(space) else None)


def mmstar_official(response: str, space: Space) -> Extraction:
    """MMStar-Benchmark/MMStar@88f243a: the first character, or that after "(", "option " or "the
    answer is ", in lower case."""
    text = response.lower().strip()
    for before in ("", "(", "option ", "the answer is "):
        letter = text[len(before) : len(before) + 1].upper()
        if text.startswith(before) and letter in letters_of(space):
            return told(letter)
    return told(None)


def lmms_mvbench(response: str, space: Space) -> Extraction:
    """MVBench in lmms-eval: the letter before a first period, else the first of A to E that stands
    as a word in either case, so that an article is A."""
    if not response:
        return Extraction(None, "empty")
    first = re.match(r"([A-E])\.\s*.+$", response.strip(), re.IGNORECASE)
    if not first:
        text = punctuated(response.replace("\n", " ").replace("\t", " ").strip())
        first = re.search(r"\b([A-E])\b", text, re.IGNORECASE)
    return told(first[1].upper() if first else None)


def mvbench_options(response: str, space: Space) -> Extraction:
    """Each option that `check_ans` of MVBench (OpenGVLab/Ask-Anything@4dd8210) would call right:
    one is a part of the other, the answer's first word and "(x)"; all of them where it is empty."""
    word = response.lower().strip().split(" ")[0]
    bare = word.replace(".", "")
    forms = {letter: f"({letter.lower()})" for letter in letters_of(space)}
    found = tuple(x for x, form in forms.items() if bare in form or form in word)
    return Extraction(found, "ok") if found else Extraction(None, "out_of_vocabulary")


def human_mme(response: str, space: Space) -> Extraction:
    """Yuan-Hou/Human-MME@15834a5 `benchmark.py`: A to D right after the first "Answer:" before one
    of them, in either case."""
    found = re.search(r"Answer:\s*([A-D])", response, re.IGNORECASE)
    return told(found[1].upper() if found else None)


READERS = {
    each.__name__: each
    for each in (
        *(lmms_letter, lmms_mmbench, lmms_mvbench, vlmevalkit_choice, vlmevalkit_letter_e),
        *(first_character, letter_with_period, ai2d_letter, mmstar_official, human_mme),
    )
} | {
    "video_mme_official": video_mme_official,
    "vlmevalkit_video_mme": vlmevalkit_video_mme,
    "vlmevalkit_video_mme_v2": vlmevalkit_video_mme_v2,
}
