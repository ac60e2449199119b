"""The page of every error message, from the code that makes them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.site.keys import row
from scripts.site.links import ROOT

HEAD = """# Every error message

Made of the code that says them. What stands in braces is filled in: a path, a value, what was
found. A message has one form: where, what was got, what was expected and, after “to mend it”, what
to do; where what was expected says that by itself, it ends there. Search this page for the words
that do not change; the last column says which function speaks. Exit codes: 2 for a `ConfigError`, 1
for the others. “A part of one” are words that stand inside another message, as the problems of a
manifest's row behind its file and line. Libraries' own words, which some messages quote, are not
here, nor are warnings.
"""
KINDS = ("AffectError", "ConfigError", "DataError", "CheckpointError")
TEXT = (ast.Constant, ast.JoinedStr, ast.BinOp, ast.IfExp)
PART = "a part of one"  # words that another function puts into its error
# What somebody was doing, which code speaks then (the first that fits has a message), and what to
# do where a message does not say more.
ACTIVITIES = {
    "Typing a command": (
        ("config", "overrides", "targets", "lock", "tools/app", "tools/options"),
        "Correct the key, value or option that it names; `affect-mllm COMMAND --help` lists them.",
    ),
    "Preparing a data set": (
        ("data_recipes/",),
        "Compare the file that it names with what the publisher hands out and fetch it again;"
        " nothing was written.",
    ),
    "Reading clips, sounds, pictures and faces": (
        ("media/", "data/reader", "data/sources", "data/faces", "tools/decoding"),
        "Open the file that it names with a player, then mend, replace or leave it out of the"
        " manifest; `affect-mllm validate MANIFEST --decode` finds all of them.",
    ),
    "Reading a manifest and making batches": (
        ("data/", "tools/manifest", "tools/table", "tools/label", "tools/splits",
         "tools/validat", "tools/cache", "tools/cues"),
        "Mend the line of the manifest or table that it names; `affect-mllm validate MANIFEST`"
        " lists every bad row at once.",
    ),
    "Training on several devices": (
        ("train/layout/", "tools/gpu_"),
        "Correct the setting of `launch` that it names; the run goes on with the same command.",
    ),
    "Training": (
        ("train/", "rewards/", "tools/train", "tools/spread"),
        "Correct the setting of the stage that it names; a run that was under way goes on from its"
        " newest checkpoint with the same command.",
    ),
    "Asking, scoring, comparing and reporting": (
        ("eval/", "tools/score", "tools/compare", "tools/board", "tools/judge", "tools/report",
         "tools/probe", "tools/lmms_eval"),
        "Mend the file, row or option that it names and repeat the command: answers that are there"
        " are kept.",
    ),
    "Building and loading models": (
        ("models/",),
        "Correct the part of `model` that it names, or fetch the weights anew.",
    ),
    "Using, exporting and importing checkpoints; everything else": (
        ("",),
        "Look at the folder or file that it names; nothing was written over.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """One error as its code says it, with `{…}` for what is filled in."""

    kind: str
    said: str
    expected: str
    fix: str
    where: str  # module.function


def messages() -> Iterator[Message]:
    """Every error of the package and of the recipes that is made with words of its own."""
    for folder in ("affect_mllm", "data_recipes"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from of_file(path)


def of_file(path: Path) -> Iterator[Message]:
    """The errors that a file makes, in their order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = path.relative_to(ROOT).with_suffix("").as_posix().removeprefix("affect_mllm/")
    of_module, returns = assigned(tree.body), returned(tree)
    for name, function in [("", tree), *functions(tree)]:
        words = Words({**of_module, **assigned(own_nodes(function))}, returns)
        for node in own_nodes(function):
            if said := spoken(node, words, finds="problems" in name):
                yield Message(*said, f"{module}.{name}")


def spoken(node: ast.AST, words: Words, *, finds: bool) -> tuple[str, str, str, str] | None:
    """Kind, words, what was expected and what to do, if this node says what is wrong.

    `finds`: its function yields what is wrong, for others to say.
    """
    if finds and isinstance(node, ast.Yield | ast.GeneratorExp):
        said = node.value if isinstance(node, ast.Yield) else node.elt
        return (PART, words.of(said), "", "") if isinstance(said, TEXT) else None
    kind = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    if kind == "ValueError" and isinstance(node.args[0], TEXT):
        return PART, words.of(node.args[0]), "", ""
    if kind not in KINDS or len(node.args) < 2:
        return None
    told = {each.arg: words.of(each.value) for each in node.keywords if each.arg}
    said = f"{words.of(node.args[0])}: {words.of(node.args[1])}"
    return kind, said, told.get("expected", ""), told.get("fix", "")


def functions(tree: ast.AST, outer: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Name and node of each function, with the class or function that it is in."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}.{node.name}" if outer else node.name
            if not isinstance(node, ast.ClassDef):
                yield name, node
            yield from functions(node, name)
        else:
            yield from functions(node, outer)


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside of it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from own_nodes(node)


class Words:
    """Reads what an expression of a function says: its words, `{…}` for what is filled in."""

    def __init__(self, names: dict[str, ast.expr], returns: dict[str, list[ast.expr]]) -> None:
        self.names, self.returns = names, returns

    def of(self, node: ast.AST | None, depth: int = 2) -> str:
        """The words of an expression; names and our own functions are followed so deep."""
        if isinstance(node, ast.Constant):
            return "" if node.value is None else str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(self.of(each, 0) for each in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self.of(node.left, depth) + self.of(node.right, depth)
        if isinstance(node, ast.IfExp):
            both = [self.of(node.body, depth), self.of(node.orelse, depth)]
            return " / ".join(filter(None, both))
        if depth and isinstance(node, ast.Name) and node.id in self.names:
            return self.of(self.names[node.id], depth - 1)
        if depth and isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = [
                self.of(each, depth - 1) for each in self.returns.get(node.func.id, []) if each
            ]
            if given:
                return " / ".join(given)
        shown = node.value if isinstance(node, ast.FormattedValue) else node
        if isinstance(shown, ast.Call) and ast.unparse(shown.func) in ("str", "repr"):
            shown = shown.args[0]
        return "{" + ast.unparse(shown) + "}" if shown else ""


def returned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """What each function of a module returns."""
    return {
        node.name: [
            each.value for each in own_nodes(node) if isinstance(each, ast.Return) and each.value
        ]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def assigned(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """What names are set to, where that is once and to words."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return {n: v[0] for n, v in found.items() if len(v) == 1 and isinstance(v[0], TEXT)}


def activity(module: str) -> str:
    """What somebody was doing when this module spoke."""
    for title, (places, _) in ACTIVITIES.items():
        if module.startswith(places):
            return title
    raise ValueError(module)


def errors() -> str:
    """The page, as Markdown."""
    said: dict[str, list[Message]] = {title: [] for title in ACTIVITIES}
    for each in messages():
        said[activity(each.where)].append(each)
    lines = [HEAD]
    for title, found in said.items():
        lines += [f"## {title}", "", f"Where a message says no more: {ACTIVITIES[title][1]}", ""]
        lines += ["| message | what to do | kind | said by |", "|---|---|---|---|"]
        lines += [row(*cells(each)) for each in found] + [""]
    return "\n".join(lines)


def cells(each: Message) -> tuple[str, str, str, str]:
    """A message's row."""
    told = [f"expected: {code(each.expected)}"] if each.expected else []
    told += [code(each.fix)] if each.fix else []
    return code(each.said), "<br>".join(told), each.kind, f"`{each.where}`"


def code(text: str) -> str:
    """Words of a message, as they stand, on one line."""
    flat = " ".join(text.split()) or " "
    ticks = "``" if "`" in flat else "`"
    return f"{ticks} {flat} {ticks}" if ticks == "``" else f"`{flat}`"
