"""`-m`: one run for every combination of swept values, as Hydra's multirun composes them."""

from __future__ import annotations

import hashlib
import itertools
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from affect_mllm.log import LOGGER
from affect_mllm.overrides import prepared, quoted
from affect_mllm.types import ConfigError, ExitCode

LONGEST = 200  # bytes of a folder's name, of which file systems take 255
FLAGS = ("-m", "--multirun")


def run(arguments: Sequence[str], train: Callable[[Sequence[str]], ExitCode]) -> ExitCode:
    """Train every job in turn, each in `RUN_DIR/key=value,…`; the first that stops ends it all.

    Finished jobs are re-used by the same command, as stages are. Raises ConfigError when nothing
    is swept, and for a folder that is a run itself.
    """
    overrides = [text for text in arguments if text not in FLAGS]
    jobs = combinations(overrides)
    base = _base(jobs[0][1])
    if (base / "status.json").is_file():
        raise ConfigError(
            "run_dir",
            f"{base} is a run itself",
            expected="a folder for the runs of this sweep alone",
            fix="give another run_dir",
        )
    for number, (swept, job) in enumerate(jobs, 1):
        folder = base / _name(swept)
        LOGGER.info("run %d of %d: %s (%s)", number, len(jobs), " ".join(swept), folder)
        given = [text for text in job if not _names_folder(text)]
        code = train([*given, quoted("run_dir", str(folder))])
        if code != ExitCode.DONE:
            return code
    LOGGER.info("mean and spread: affect-mllm spread %s", shlex.quote(str(base)))
    return ExitCode.DONE


def combinations(overrides: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    """Each job's swept overrides and all its overrides, in Hydra's order (the last one fastest).

    Hydra's own grammar: `a,b`, `range(1,4)`, `choice(…)`, `glob(*)` is not for groups here. A swept
    override is as in the name of its folder: without quotes.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    parsed = parser.parse_overrides(prepared(overrides, sweeping=True))
    choices: list[list[tuple[str, str]]] = []
    for override in parsed:
        if override.is_sweep_override():
            name = override.get_key_element()
            texts = [f"{name}={text}" for text in override.sweep_string_iterator()]
            choices.append([_option(text, parser.parse_override(text).value()) for text in texts])
        else:
            choices.append([(str(override.input_line), str(override.input_line))])
    if all(len(options) == 1 for options in choices):
        raise ConfigError(
            "--multirun", "nothing to sweep", fix="give several values, such as seed=1,2,3"
        )
    swept = [place for place, options in enumerate(choices) if len(options) > 1]
    return [
        ([job[place][0] for place in swept], [given for _, given in job])
        for job in itertools.product(*choices)
    ]


def _option(text: str, value: object) -> tuple[str, str]:
    """A swept override in plain words and as Hydra reads it: `a=b c` and `a='b c'`."""
    key = text.partition("=")[0]
    if not isinstance(value, str) or text == f"{key}={value}":
        return text, text
    return f"{key}={value}", quoted(key, value)


def _base(overrides: Sequence[str]) -> Path:
    """Where the runs' folders go: the run_dir that was given, or `sweep` beside a single run's."""
    from affect_mllm import config

    folder = Path(config.compose("train", overrides).run_dir)
    return folder if any(map(_names_folder, overrides)) else folder.with_name("sweep")


def _names_folder(override: str) -> bool:
    return override.lstrip("+").startswith("run_dir=")


def _name(swept: Sequence[str]) -> str:
    """A folder name: `seed=1`, or `seed=1,a.lr=0.001`.

    What a name cannot hold becomes a dash, and a long one is cut; a hash of the whole then keeps
    folders of different jobs apart.
    """
    whole = ",".join(text.lstrip("+") for text in swept)
    name = ",".join(re.sub(r"[^\w.=+-]+", "-", text.lstrip("+")).rstrip("-") for text in swept)
    cut = name.encode()[:LONGEST].decode(errors="ignore")
    return cut if cut == whole else f"{cut}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
