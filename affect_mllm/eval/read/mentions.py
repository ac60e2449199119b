"""Which labels a text says: phrases found in it, without what it denies or declines to answer.

One pass over the phrases. A negation reaches to the end of its clause, over "or", over a list that
ends in "or" ("not angry, sad or afraid"), and after "no" and its like over "and"; "Joy? No." and
"joy: false" deny what stands before them. A mention is weak, and counts where nothing stronger is
said, if it stands in an explanation, in quoted speech, in a question, or is an adverb or a
behaviour. Everyday words count as the whole answer or an item of a list alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from affect_mllm.eval.read.grammar import Role, grammar
from affect_mllm.eval.read.normal import word_set, words_in
from affect_mllm.eval.read.said import MARKUP, Mention, Said, denied_after, is_more, speech_in
from affect_mllm.eval.read.tokens import Found, Phrases, scan, tokens_of
from affect_mllm.eval.read.vocabulary import EVERYDAY, WEAK, Form, Vocabulary

_REACH = 9  # tokens from a negation, or from the last mention that it denies, to the next one
_REACH_LIST = 3  # tokens between the items of a list
_FILLERS = word_set("fillers")
_SEPARATORS = frozenset([*",;/|\n:.!?-&、。+•", "and", "or", "和", "—", "->"])
_BEFORE_CLAUSE = _SEPARATORS | MARKUP | word_set("before a clause")
_JOINS = word_set("joins")


def said_in(text: str, known: Vocabulary, language: str = "") -> Said:
    """What a folded text says of a task's labels; with the words of a language (`grammar`)."""
    options: dict[str, Any] = {"neutral": known.neutral, "shadowed": known.shadowed}
    found = said_with(text, known.phrases, **options, language=language)
    poles_denied = len(found.denied) > 1 and known.neutral not in found.denied
    if not found.labels and known.poles and known.neutral and poles_denied:
        last = found.mentions[-1]
        found.mentions.append(Mention(known.neutral, last.start, last.end, sure=True))
    return found


def said_with(text: str, phrases: Phrases, **options: Any) -> Said:
    """What a folded text says by `phrases`, whose meanings are Forms; options of `said_of`."""
    return said_of(tokens_of(text), phrases, **options)


def said_of(
    tokens: Sequence[str],
    phrases: Phrases,
    *,
    neutral: str | None = None,
    shadowed: bool = False,
    without: frozenset[str] = frozenset(),
    language: str = "",
) -> Said:
    """The same of tokens in lower case.

    `neutral` is the label that "no emotion" means, `shadowed` says that phrases may look like
    refusals, `without` names roles of the grammar that count for nothing.
    """
    how: dict[str, Any] = {"shadowed": shadowed, "without": without, "language": language}
    return _Reader(tokens, phrases, neutral, **how).read()


class _Reader:
    """The state of the one pass."""

    def __init__(
        self,
        tokens: Sequence[str],
        phrases: Phrases,
        neutral: str | None,
        *,
        shadowed: bool,
        without: frozenset[str],
        language: str,
    ) -> None:
        self.tokens, self.phrases, self.neutral = tokens, phrases, neutral
        self.said, self.grammar = Said(tokens), grammar(language)
        self.denials = words_in("denials", language)
        self.auxiliaries = words_in("auxiliaries", language)
        keeps = self._holds(shadowed=shadowed, without=without)
        self.found = scan(tokens, phrases, self.grammar, keeps=keeps)
        self.speech = speech_in(tokens) if '"' in tokens or "'" in tokens else ()
        self.negation, self.reach_from, self.list_until = "", 0, -1
        self.reason_from = -1  # where the last explanation began
        self.nor = self.lessened = False
        self.declining = self.explaining = self.explained = False
        self.sentence = 0  # number of mentions before the sentence

    def read(self) -> Said:
        for number, each in enumerate(self.found):
            if isinstance(each.meaning, Form):
                self._mention(each)
            else:
                _DOES[each.meaning.name](self, number, each)
        return self.said

    def _holds(self, *, shadowed: bool, without: frozenset[str]) -> Callable[[Role, int], bool]:
        tokens, phrases = self.tokens, self.phrases

        def opens(role: Role, start: int) -> bool:
            return not role.opening or start == 0 or tokens[start - 1] in _BEFORE_CLAUSE

        def holds(role: Role, start: int) -> bool:
            if role.name in without or not opens(role, start):
                return False
            if not shadowed or role.name not in ("refuse", "sorry", "ignore"):
                return True
            end, _ = self.grammar.at(tokens, start)
            return all(phrases.at(tokens, place)[1] is None for place in range(start, end))

        return holds if shadowed or without else opens

    def _mention(self, each: Found) -> None:
        form: Form = each.meaning
        tokens, start, end = self.tokens, each.start, each.end
        if form.strength == EVERYDAY and not self._is_item(start, end):
            return
        denied = self._reaches(start)
        if denied and is_more(tokens, start):
            denied = False
        if denied:
            self.reach_from = end
        if self.declining and not self._quoted(start):
            return
        denied = denied or denied_after(tokens, end, self.denials)
        sure = form.strength != WEAK and not (
            self.explaining or self.explained or self._quoted(start)
        )
        self.said.mentions.append(Mention(form.label, start, end, sure, denied))

    def _reaches(self, start: int) -> bool:
        return bool(self.negation) and start - self.reach_from <= _REACH

    def _quoted(self, start: int) -> bool:
        return bool(self.speech) and any(first < start < last for first, last in self.speech)

    def _is_item(self, start: int, end: int) -> bool:
        tokens, before = self.tokens, start - 1
        while before >= 0 and (tokens[before] in _FILLERS or tokens[before] in MARKUP):
            before -= 1
        after = end
        while after < len(tokens) and tokens[after] in MARKUP:
            after += 1
        opens = before < 0 or tokens[before] in _SEPARATORS or tokens[before].isdecimal()
        return opens and (after == len(tokens) or tokens[after] in _SEPARATORS)

    # One method for each role of the grammar.

    def _not(self, number: int, each: Found) -> None:
        if self.tokens[each.start] == "than" and self.lessened:
            self.negation, self.lessened = "", False  # "less angry than sad"
            return
        self.lessened = self.tokens[each.start] == "less"
        if self.negation and each.start - self.reach_from <= 1 and each.start > self.reach_from - 1:
            doubled = self.tokens[each.start] not in ("not", "nor", "neither", "no", "不")
            if doubled:
                self.negation = ""  # "does not lack joy"
                return
        self._deny_subject(each)
        self.negation, self.reach_from = each.meaning.name, each.end
        self.nor = self.tokens[each.start] in ("neither", "weder", "既")

    _no = _not

    def _deny_subject(self, each: Found) -> None:
        """ "Joy is not what she feels": the mention right before the verb."""
        place = each.start
        word = self.tokens[place]
        verb = word.endswith("n't") and word[:-3] in self.auxiliaries
        while place > 0 and self.tokens[place - 1] in self.auxiliaries:
            place, verb = place - 1, True
        last = self.said.mentions[-1] if self.said.mentions else None
        if verb and last is not None and last.end == place:
            last.denied = True

    def _affirm(self, number: int, each: Found) -> None:
        if self._reaches(each.start):
            self.negation = ""

    def _ignore(self, number: int, each: Found) -> None:
        pass

    def _refuse(self, number: int, each: Found) -> None:
        if not self._quoted(each.start):
            self.said.refused = self.declining = True

    def _sorry(self, number: int, each: Found) -> None:
        if not self._quoted(each.start):
            self.said.refused = True

    def _break(self, number: int, each: Found) -> None:
        self.negation, self.declining, self.nor = "", False, False

    def _bracket(self, number: int, each: Found) -> None:
        """A remark in brackets of one word belongs to what stands before it."""
        if self.tokens[each.end + 1 : each.end + 2] != [")"]:
            self._break(number, each)

    def _stop(self, number: int, each: Found) -> None:
        self._break(number, each)
        self.explaining = False
        self.sentence = len(self.said.mentions)

    def _colon(self, number: int, each: Found) -> None:
        self.negation = ""

    def _comma(self, number: int, each: Found) -> None:
        if self.negation and not self.nor and each.start > self.list_until:
            self.list_until = self._list_end(number)
        if self.nor or each.start <= self.list_until:
            self.reach_from = each.end
        else:
            self.negation = ""

    def _list_end(self, number: int) -> int:
        """Where a list that goes on after the comma `number` has its "or"; -1 if it is none."""
        place = self.found[number].end
        for each in self.found[number + 1 :]:
            if each.start - place > _REACH_LIST:
                return -1
            name = "" if isinstance(each.meaning, Form) else each.meaning.name
            if name == "or" or (name == "and" and self.negation == "no"):
                return each.start
            if name not in ("", "comma", "ignore", "emotion"):
                return -1
            place = each.end
        return -1

    def _and(self, number: int, each: Found) -> None:
        if self.negation == "not" or not self._goes_on(number):
            self.negation = ""

    def _goes_on(self, number: int) -> bool:
        """Whether a mention stands right after the coordination."""
        here, after = self.found[number], self.found[number + 1 : number + 2]
        return any(isinstance(x.meaning, Form) and x.start - here.end <= 1 for x in after)

    def _or(self, number: int, each: Found) -> None:
        if self._reaches(each.start):
            self.reach_from = each.end
            self.nor = False

    def _because(self, number: int, each: Found) -> None:
        self.negation, self.reason_from = "", each.start
        self.explaining = True

    def _explain(self, number: int, each: Found) -> None:
        self._break(number, each)
        self.explained = True

    def _sum(self, number: int, each: Found) -> None:
        self._break(number, each)
        self.explaining = self.explained = False
        self.said.summed = each.start

    def _asked(self, number: int, each: Found) -> None:
        for mention in self.said.mentions[self.sentence :]:
            mention.sure = False
        self._stop(number, each)

    def _quote(self, number: int, each: Found) -> None:
        pass

    def _emotion(self, number: int, each: Found) -> None:
        if self._reaches(each.start) and self.neutral is not None and not self.said.refused:
            mention = Mention(self.neutral, each.start, each.end, sure=False)
            self.said.mentions.append(mention)

    def _wrong(self, number: int, each: Found) -> None:
        """Denies the mention before it, and those that are coordinated with it."""
        place = each.start
        if not self.said.mentions or place - self.said.mentions[-1].end > _REACH_LIST:
            if any(word.endswith(("not", "n't")) for word in self.tokens[place : each.end]):
                self.negation, self.reach_from = "not", each.end  # "isn't right" of no label
            return
        for mention in reversed(self.said.mentions):
            between = self.tokens[mention.end : place]
            joined = place == each.start or all(token in _JOINS for token in between)
            if mention.end <= self.reason_from < each.start:
                break  # "B because that is wrong"
            if len(between) > _REACH_LIST or not joined or any(x in ".;!?\n" for x in between):
                break
            mention.denied = True
            place = mention.start


_DOES: dict[str, Callable[[_Reader, int, Found], None]] = {
    name.removeprefix("_"): getattr(_Reader, name)
    for name in (
        "_not", "_no", "_affirm", "_ignore", "_refuse", "_sorry", "_break", "_stop", "_colon",
        "_comma", "_and", "_or", "_because", "_explain", "_sum", "_asked", "_quote", "_bracket",
        "_emotion",
        "_wrong",
    )
}  # fmt: skip


@lru_cache(maxsize=1)
def _nothing() -> Phrases:
    return Phrases([])


def declines(text: str) -> bool:
    """Whether a folded text declines to answer."""
    return said_with(text, _nothing()).refused
