"""Training speed and memory against transformers' Trainer and TRL, on this machine, in one run.

    python benchmarks/train_speed.py [--quick] [--rounds N] [--only NAME …] [--dtype float32]
        [--against REVISION]

Every contender tunes the same LLM (SmolLM2-135M-Instruct, LoRA r=16 on all linear layers; bf16, or
float32 where the processor has no bf16 instructions, which make it about 40 times slower) on the
same mixed-length chats in a process of its own; the first steps are not counted, and of ours none
up to the last one that compiled (the first counts FLOPs and runs as it is, the second compiles).
All take their turn in every round, since a machine's speed comes and goes: numbers are medians of
the rounds, ratios are made within a round, and their range is given. The table has supervised and
real tokens/s, peak memory of the process, and the share of the matrix-product peak, the highest
that was measured between the runs. Beside the ratio of two ranks to one, which take the same steps,
stands what two processes of nothing but matrix products come to on this machine. `--against` lets
another version of this repository take its turn, too, by its own script. Needs
`pip install -e '.[bench]'` and the default weights (`affect-mllm assets`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
from another_version import tree_of
from measured import Better, Row, report
from train_chats import write_manifest
from train_contenders import BATCH, SPARE, hf_trainer, ours, trl

ROOT = Path(__file__).resolve().parents[1]
Found = dict[str, dict[str, float]]  # numbers by contender
TRAINER, TRL, OURS = "Trainer, padding", "TRL, packing", "affect_mllm"
ONE_RANK, TWO_RANKS = "affect_mllm, 1 rank × 1 thread", "affect_mllm, 2 ranks × 1 thread"
TOKENS, MEMORY = "supervised tokens/s", "peak memory"
COMPARED: list[tuple[str, str, str, str, Better]] = [
    (TOKENS, "supervised", OURS, TRAINER, "higher"),
    (TOKENS, "supervised", OURS, TRL, "higher"),
    (MEMORY, "peak_gb", OURS, TRAINER, "lower"),
    (TOKENS, "supervised", TWO_RANKS, ONE_RANK, "higher"),
]
WANTED = {
    (TOKENS, TRAINER): "at least 4",
    (TOKENS, TRL): "at least 2.5",
    (MEMORY, TRAINER): "at most 0.4",
    (TOKENS, ONE_RANK): "at least 1.9",
    ("FLOP/s", "matrix products alone"): "at least 0.25",
}
SUSTAINED = """
import sys, time, torch
torch.set_num_threads(1)
a = torch.randn(2048, 2048, dtype=getattr(torch, sys.argv[2]))
a @ a
print("ready", flush=True)
sys.stdin.readline()
products, began = 0, time.perf_counter()
while (spent := time.perf_counter() - began) < float(sys.argv[1]):
    a @ a
    products += 1
print(products * 2 * 2048**3 / spent)
"""


def main() -> None:
    """Run the contenders one after another and print the table."""
    options = _arguments()
    if options.contender:
        _report(options.contender, options)
        return
    threads = len(os.sched_getaffinity(0))
    names = [TRAINER, TRL, OURS, *([ONE_RANK, TWO_RANKS] if threads > 1 else [])]
    names = [name for name in names if not options.only or name in options.only]
    rounds: list[Found] = []
    peaks = [matmul_peak(threads, options.dtype)]
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        trees: dict[str, Path] = {}
        if options.against:
            names.append(f"{OURS} at {options.against}")
            trees[names[-1]] = opened.enter_context(tree_of(options.against))
        steps = options.warm_up + SPARE + options.steps
        manifest = write_manifest(Path(folder), 2 * BATCH * (steps + 1))
        for number in range(1, options.rounds + 1):
            rounds.append({})
            for name in names:
                print(f"round {number}: {name} …", file=sys.stderr, flush=True)
                rounds[-1][name] = _run(name, options, manifest, threads, trees.get(name, ROOT))
                peaks.append(matmul_peak(threads, options.dtype))
    _print_table(_medians(rounds), max(peaks), threads, options.dtype)
    rows = [*_ratios(rounds, max(peaks), options.dtype)]
    for name in trees:
        ratios = [each[OURS]["supervised"] / each[name]["supervised"] for each in rounds]
        rows.append(Row.of(f"{TOKENS}, {OURS}, {options.dtype}", name, ratios, "higher"))
    if {TWO_RANKS, ONE_RANK} <= set(names):
        alone, together = (sum(sustained_rates(count, options.dtype)) for count in (1, 2))
        what = "FLOP/s of two processes of matrix products (the machine's ceiling)"
        rows.append(Row.of(what, "one process", [together / alone], "higher"))
    _print_ratios(rows)
    report(rows)


def _arguments() -> argparse.Namespace:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="2 counted steps instead of 6")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each, default 3")
    parser.add_argument("--only", nargs="*", default=[], help="some of the contenders")
    parser.add_argument("--steps", type=int, default=None, help="counted steps of each")
    own = "bfloat16" if has_bf16() else "float32"
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default=own)
    parser.add_argument("--against", metavar="REVISION", help="another version of this repository")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--manifest", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run-dir", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}, and has to be 1 at least")
    if options.against and options.only and OURS not in options.only:
        parser.error(f"--against is held against {OURS!r}, which --only leaves out")
    options.warm_up = 1 if options.quick else 2
    options.steps = options.steps or (2 if options.quick else 6)
    return options


def has_bf16() -> bool:
    """Whether this processor multiplies in bf16 by itself."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def matmul_peak(threads: int, dtype: str) -> float:
    """FLOP/s of a 2048³ matrix product on `threads` threads, the best of many."""
    code = (
        "import torch, time\n"
        f"torch.set_num_threads({threads})\n"
        f"a = torch.randn(2048, 2048, dtype=torch.{dtype})\n"
        "best = 9e9\n"
        "for _ in range(20):\n"
        "    began = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - began)\n"
        "print(2 * 2048**3 / best)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def sustained_rates(processes: int, dtype: str, seconds: float = 5.0) -> list[float]:
    """FLOP/s of so many one-thread processes that multiply 2048³ at the same time."""
    command = [sys.executable, "-c", SUSTAINED, str(seconds), dtype]
    started = [
        subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    pipes = [(each.stdin, each.stdout) for each in started]
    for _, said in pipes:  # all have imported torch before one begins
        if said is None or said.readline() != "ready\n":
            sys.exit("a process of matrix products did not start")
    for go, _ in pipes:
        if go is not None:
            go.write("\n")
            go.flush()
    return [float(each.communicate()[0]) for each in started]


def _run(
    name: str, options: argparse.Namespace, manifest: Path, threads: int, tree: Path
) -> dict[str, float]:
    """One contender's numbers; what it says goes to a log that is shown when it fails.

    `tree` has the version that is measured; an old one takes bf16 and knows no other.
    """
    ranks = 2 if name == TWO_RANKS else 1
    each = 1 if name in (ONE_RANK, TWO_RANKS) else threads
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = tree / "benchmarks" / Path(__file__).name
    contender = name if tree == ROOT else OURS
    command = [sys.executable, *(start if ranks > 1 else []), str(script), "--contender", contender]
    run_dir = tempfile.mkdtemp(dir=manifest.parent)  # a finished run would be re-used
    command += ["--manifest", str(manifest), "--run-dir", run_dir, "--steps", str(options.steps)]
    if "--dtype" in script.read_text(encoding="utf-8"):
        command += ["--dtype", options.dtype]
    command += ["--quick"] if options.quick else []
    env = {
        **os.environ,
        "OMP_NUM_THREADS": str(each),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": str(tree),
    }
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, env=env)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"supervised')]
    if done.returncode or not lines:
        sys.exit(
            f"{name} failed ({done.returncode}):\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        )
    return json.loads(lines[-1])


def _report(name: str, options: argparse.Namespace) -> None:
    """In the contender's process: train, then print its numbers as one line of JSON."""
    contenders: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
        TRAINER: hf_trainer,
        TRL: trl,
        # The same steps, so that both do the same work on the same chats.
        ONE_RANK: partial(ours, batch=2 * BATCH),
        TWO_RANKS: partial(ours, batch=2 * BATCH),
    }
    found = contenders.get(name, ours)(options)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps({**found, "peak_gb": peak_gb}), flush=True)


def _medians(rounds: list[Found]) -> Found:
    return {
        name: {key: median(each[name][key] for each in rounds) for key in row}
        for name, row in rounds[0].items()
    }


def _print_table(found: Found, peak: float, threads: int, dtype: str) -> None:
    print(f"\nSmolLM2-135M, LoRA r=16, {dtype}, {threads} threads; peak {peak / 1e12:.2f} TFLOP/s")
    print(f"{'':34}{'supervised':>11}{'real':>9}{'peak':>8}{'share of':>10}")
    print(f"{'':34}{'tokens/s':>11}{'tokens/s':>9}{'GB':>8}{'peak':>10}")
    for name, row in found.items():
        line = f"{name:34}{row['supervised']:11.1f}"
        if "real" in row:  # not of several ranks, each of which knows only its own
            per_token = (
                found[OURS]["flops"] / found[OURS]["real"] if OURS in found else float("nan")
            )
            own_peak = peak / threads if name == ONE_RANK else peak
            share = row.get("flops", per_token * row["real"]) / own_peak
            print(f"{line}{row['real']:9.1f}{row['peak_gb']:8.2f}{share:10.1%}")
        else:
            print(f"{line}{'':9}{row['peak_gb']:8.2f} each")


def _ratios(rounds: list[Found], peak: float, dtype: str) -> Iterator[Row]:
    for title, key, mine, other, better in COMPARED:
        if {mine, other} <= set(rounds[0]):
            ratios = [each[mine][key] / each[other][key] for each in rounds]
            yield Row.of(f"{title}, {mine}, {dtype}", other, ratios, better)
    if OURS in rounds[0]:
        shares = [each[OURS]["flops"] / peak for each in rounds]
        yield Row.of(f"FLOP/s, {OURS}, {dtype}", "matrix products alone", shares, "higher")


def _print_ratios(rows: list[Row]) -> None:
    print()
    for row in rows:
        spread = f"  {row.low:.2f} to {row.high:.2f}" if row.n > 1 else ""
        wanted = WANTED.get((row.what.partition(",")[0], row.against))
        target = f"   wanted: {wanted}" if wanted else ""
        print(f"{row.what} ÷ {row.against}: {row.ratio:.2f}{spread}{target}")


if __name__ == "__main__":
    main()
