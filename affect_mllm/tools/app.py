"""The `affect-mllm` command: a table of subcommands, each imported only when it is asked for."""

from __future__ import annotations

import errno
import importlib
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from affect_mllm import log
from affect_mllm.tools.examples import example
from affect_mllm.types import AffectError, ExitCode

COLUMNS = 80
INTERRUPTED = 128 + 2  # the shell's code for SIGINT
# What a full or forbidden disk says; the words are for writers that do not raise OSError.
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# What a place says that is read-only, another user's, or of another kind than a name asks for.
_CLOSED = (
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)
_DISK_FULL_TEXT = os.strerror(errno.ENOSPC)


@dataclass(frozen=True)
class Command:
    """One subcommand: `target` is "module:function"; a `raw` one reads its arguments itself.

    One that is raw and `helps` says its own help; conf/NAME.yaml is that of the others.
    """

    target: str
    help: str
    raw: bool = False
    helps: bool = False

    def load(self) -> Callable[..., object]:
        """Import the module and return the function."""
        module, function = self.target.split(":")
        return getattr(importlib.import_module(module), function)


COMMANDS = {
    "train": Command(
        "affect_mllm.tools.train:main", "Train an experiment's stages (key=value ...).", raw=True
    ),
    "eval": Command(
        "affect_mllm.eval.main:main", "Evaluate a checkpoint (key=value ...).", raw=True
    ),
    "predict": Command(
        "affect_mllm.tools.predict:predict_command", "Emotion and description of one clip."
    ),
    "demo": Command(
        "affect_mllm.tools.page.command:demo_command", "A page on this machine to try checkpoints."
    ),
    "serve": Command(
        "affect_mllm.tools.serve.command:serve_command", "Answer OpenAI's chat completions."
    ),
    "score": Command("affect_mllm.tools.score:score_command", "Score a file of predictions."),
    "compare": Command(
        "affect_mllm.tools.compare:compare_command", "Runs against each other, sample by sample."
    ),
    "board": Command(
        "affect_mllm.tools.board:board_command", "A leaderboard of runs that are comparable."
    ),
    "judge": Command(
        "affect_mllm.tools.judge:judge_command", "Score descriptions by a judge model."
    ),
    "extract": Command(
        "affect_mllm.tools.judge:extract_command", "Read labels from answers by a language model."
    ),
    "report": Command(
        "affect_mllm.tools.report:report_command", "One self-contained HTML page of a run."
    ),
    "manifest": Command(
        "affect_mllm.tools.manifest:manifest_command", "Make a manifest from a CSV and a folder."
    ),
    "recipe": Command(
        "affect_mllm.tools.recipe:main",
        "Make a manifest of a published data set.",
        raw=True,
        helps=True,
    ),
    "validate": Command(
        "affect_mllm.tools.validate:validate_command", "List every bad row of a manifest."
    ),
    "import": Command(
        "affect_mllm.tools.import_:import_command", "Another project's checkpoint as one of ours."
    ),
    "describe": Command(
        "affect_mllm.tools.describe:describe_command",
        "What an experiment is made of.",
    ),
    "estimate": Command(
        "affect_mllm.tools.estimate:estimate_command", "Memory and FLOPs of a training step."
    ),
    "export": Command(
        "affect_mllm.tools.export:export_command", "Write a folder that transformers loads."
    ),
    "cache": Command(
        "affect_mllm.tools.cache:cache_command", "Compute the encoders' states of clips once."
    ),
    "cues": Command(
        "affect_mllm.tools.cues:cues_command", "Voice and face in words, measured, in a manifest."
    ),
    "probe": Command(
        "affect_mllm.tools.probe:probe_command", "What frozen encoders say of a label, by layer."
    ),
    "spread": Command(
        "affect_mllm.tools.spread:spread_command", "Mean and spread of several runs."
    ),
    "gpu-check": Command(
        "affect_mllm.tools.gpu_check:gpu_check_command", "What a machine with GPUs has to show."
    ),
    "tiny": Command(
        "affect_mllm.tools.tiny.command:tiny_command", "An experiment with tiny random weights."
    ),
    "assets": Command(
        "affect_mllm.tools.assets:assets_command", "Fetch and convert the default weights."
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line (default: this process's) and leave with its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    log.setup()
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.FAILED
    except AffectError as error:
        code = _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _say("interrupted", INTERRUPTED)
    except Exception as error:
        message = _of_the_disk(error)
        if message is None:
            raise
        code = _say(message, ExitCode.FAILED)
    sys.exit(code)


def build(asked: str | None) -> typer.Typer:
    """The whole command line, with only the subcommand `asked` really imported."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help="Train and evaluate emotion multimodal LLMs.")(_root)
    for name, command in COMMANDS.items():
        if name == asked and not command.raw:
            function = command.load()
            app.command(name, help=_flowing(function), epilog=example(name))(function)
        else:
            app.command(name, help=command.help)(_not_loaded)
    return app


def _flowing(function: Callable[..., object]) -> str:
    """Its docstring with paragraphs of one line each, for a terminal to break where it is full."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


def _run(arguments: list[str]) -> int:
    asked = next((each for each in arguments if not each.startswith("-")), None)
    if arguments and arguments[0] == asked and asked in COMMANDS and COMMANDS[asked].raw:
        if {"-h", "--help"} & set(arguments[1:]) and not COMMANDS[asked].helps:
            print(_raw_help(asked))
            return ExitCode.DONE
        with log.working(f"starting {asked}"):
            command = COMMANDS[asked].load()
        result = command(arguments[1:])
        return result if isinstance(result, int) else ExitCode.DONE
    try:
        build(asked)(arguments, prog_name="affect-mllm")
    except SystemExit as leave:
        # typer turns Ctrl-C into Abort and exit code 1, which a caller cannot tell from a failure.
        if isinstance(leave.__context__, typer.Abort):
            raise KeyboardInterrupt from leave
        return leave.code if isinstance(leave.code, int) else ExitCode.DONE
    return ExitCode.DONE


def _raw_help(name: str) -> str:
    """What train and eval can be told: conf/NAME.yaml as it stands, and the groups to choose of."""
    from affect_mllm.config import conf_dir

    folder = conf_dir()
    groups = {
        group.name: ", ".join(sorted(each.stem for each in group.glob("*.yaml")))
        for group in sorted(folder.iterdir())
        if group.is_dir()
    }
    lines = [
        f"affect-mllm {name} [group=option …] [key=value …]",
        "",
        COMMANDS[name].help,
        "",
        example(name),
        "",
        (folder / f"{name}.yaml").read_text(),
        "groups and their options:",
        *(_wrapped(f"  {group}: {options}") for group, options in groups.items()),
    ]
    return "\n".join(lines)


def _wrapped(line: str) -> str:
    return textwrap.fill(line, COLUMNS, subsequent_indent="    ", break_long_words=False)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"affect-mllm {version('affect-mllm')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and leave.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Hold the options that stand before a subcommand."""


def _not_loaded() -> None:
    raise AssertionError("a subcommand that was not asked for")


def _say(message: str, code: int) -> int:
    from affect_mllm.tools.saying import say

    say(message)
    return int(code)


def _of_the_disk(error: Exception) -> str | None:
    """What to say of a full disk or a place that is closed to this user; None for anything else."""
    full = next(filter(_is_disk_full, _chain(error)), None)
    if full is not None:
        return f"disk full: {full}\n  to mend it: free some space and run it again"
    if isinstance(error, OSError) and error.errno in _CLOSED and error.filename is not None:
        return (
            f"{os.fsdecode(error.filename)}: {error.strerror}\n"
            "  to mend it: name a place that this user may read and write, and that is what it "
            "has to be (a folder, a file)"
        )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return True
    return _DISK_FULL_TEXT in str(error)


if __name__ == "__main__":
    main()
