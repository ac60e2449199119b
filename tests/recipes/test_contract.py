"""Every recipe: fixture → manifest that validates; terms printed; wrong files refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.tools.decoding import Job, decode_one
from affect_mllm.tools.validation import validate
from affect_mllm.types import MEDIA_FIELDS, DataError
from tests.recipes.kit import SUBSET, Kit, Made, run, write
from tests.recipes.makers import MAKERS

RECIPES = Path(__file__).resolve().parents[2] / "data_recipes"
SCRIPTS = sorted(
    path.stem
    for path in RECIPES.glob("*.py")
    if path.stem not in ("recipe", "commandline", "synthetic")
)
NO_TABLES = (b"\xff\xfe\x00 no table", b"a,b\n1,2\n", b"")


def test_every_recipe_has_a_fixture() -> None:
    assert sorted(MAKERS) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_fixture_becomes_a_manifest_that_validates(name: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS[name](tmp_path, kit)
    ran = run(name, [*made.args, SUBSET], tmp_path)
    assert ran.code == 0, ran.err
    (path,) = ran.manifests
    (result,) = validate(path)
    assert [problem.reason for problem in result.problems] == []
    assert result.good_rows == made.rows == len(ran.rows)
    samples = manifest.read(path)
    parts = [part for sample in samples for part in sample.parts]
    jobs = {Job.of(part, kind) for part in parts for kind in part.media}
    assert [why for why in map(decode_one, jobs) if why is not None] == []
    for sample in samples:
        assert sample.licence, sample.id
        assert f"licence  {sample.licence}\n" in ran.out
        assert sample.source
    assert "access   " in ran.out
    assert f"wrote {path}: {made.rows} rows" in ran.out


@pytest.mark.parametrize("name", SCRIPTS)
def test_labels_alone_make_rows_to_score_by(name: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS[name](tmp_path, kit)
    whole = run(name, [*made.args, SUBSET], tmp_path)
    for path in [*tmp_path.rglob("*")]:
        if path.suffix in (".mp4", ".avi", ".flv", ".wav", ".jpg", ".npy"):
            path.unlink()
    out = tmp_path / "alone.jsonl"
    ran = run(name, [*made.args, SUBSET, "--labels-only", "--out", str(out)], tmp_path)
    if made.named:  # without files there is no name to read a label of
        assert (ran.code, out.exists()) == (1, False)
        return
    assert ran.code == 0, ran.err
    assert "no media were looked for" in ran.out
    alone = {sample.id: sample for sample in manifest.read(out, media=False)}
    assert {id: sample.labels for id, sample in alone.items()} == {
        id: row.get("labels", {}) for id, row in whole.rows.items()
    }
    assert not any(sample.has_media for sample in alone.values())
    (result,) = validate(out)
    assert (result.problems, result.labels_only) == ((), len(alone))
    with pytest.raises(DataError, match="rows of labels alone"):
        manifest.read(out)


@pytest.mark.parametrize("name", SCRIPTS)
def test_other_counts_than_the_published_ones_are_refused(
    name: str, tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS[name](tmp_path, kit)
    ran = run(name, made.args, tmp_path)
    if not made.counted:
        assert (ran.code, len(ran.rows)) == (0, made.rows)
        return
    assert ran.code == 1
    assert ran.manifests == []
    assert "found " in ran.err
    assert ", published " in ran.err
    assert SUBSET in ran.err


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_file_of_another_form_is_refused_by_name(name: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS[name](tmp_path, kit)
    for spoil in spoilers(made, kit):
        spoil()
        ran = run(name, [*made.args, SUBSET], tmp_path)
        assert (ran.code, ran.manifests) == (1, [])
        assert str(made.table) in ran.err
        assert "Traceback" not in ran.err
        assert not made.named or f"{made.table}: a name of another form" in ran.err


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_missing_file_is_refused_by_name(name: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS[name](tmp_path, kit)
    for path in list(tmp_path.rglob("*")) if made.named else [made.table]:
        if path.is_file():
            path.unlink()
    ran = run(name, made.args, tmp_path)
    assert ran.code in (1, 2)
    assert ran.manifests == []
    assert str(tmp_path) in ran.err


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_folder_that_is_not_there_is_wrong_use(name: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS[name](tmp_path, kit)
    ran = run(name, [str(tmp_path / "nothing"), *made.args[1:]], tmp_path)
    assert ran.code == 2
    assert "nothing" in ran.err


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_medium_that_is_not_there_is_named_or_its_rows_left_out(
    name: str, tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS[name](tmp_path, kit)
    ran = run(name, [*made.args, SUBSET], tmp_path)
    (path,), before = ran.manifests, ran.rows
    gone = next((value for row in before.values() for value in media(row).values()), None)
    if gone is None or made.unpacks:
        return  # text alone, or written again
    path.unlink()
    lost = path.parent / gone
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    part = run(name, [*made.args, SUBSET], tmp_path)
    if made.named:  # then nothing says that it was ever there
        assert part.rows
        assert not any(gone in media(row).values() for row in part.rows.values())
        return
    kept = {id for id, row in before.items() if gone not in media(row).values()}
    assert part.code == (0 if kept else 1)
    assert kept == (set(part.rows) if kept else set())
    assert f"{made.rows - len(kept)} rows left out" in part.out or not kept
    for written in part.manifests:
        written.unlink()
    whole = run(name, made.args, tmp_path)
    assert (whole.code, whole.manifests) == (1, [])
    assert " is missing: " in whole.err
    assert Path(gone).name in whole.err


@pytest.mark.parametrize("name", SCRIPTS)
def test_annotations_and_media_may_lie_apart(name: str, tmp_path: Path, kit: Kit) -> None:
    """MELD's tables come by git and its clips as a tarball: `--media-root` is the same for all."""
    made = MAKERS[name](tmp_path / "all", kit)
    if "--media-root" in made.args or not (files := media_files(tmp_path / "all")):
        return  # apart anyhow, or text alone
    whole = run(name, [*made.args, SUBSET], tmp_path / "all").rows
    for path in files:
        moved = tmp_path / "media" / path.relative_to(tmp_path / "all")
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    args = [*made.args, SUBSET, "--media-root", str(tmp_path / "media")]
    apart = run(name, args, tmp_path / "media")
    assert apart.code == 0, apart.err
    assert apart.rows == whole


def media_files(folder: Path) -> list[Path]:
    kinds = (".mp4", ".avi", ".flv", ".wav", ".jpg", ".npy")
    return [path for path in folder.rglob("*") if path.suffix in kinds]


# recipe → what of its fixture is of other splits than the last one
OTHER_SPLITS = {
    "dfew": ["EmoLabel_DataSplit/train(single-labeled)"],
    "emoset": ["train.json", "val.json"],
    "ferv39k": ["4_setups/All_scenes/train_All.csv"],
    "iemocap": ["Session1", "Session2", "Session3", "Session4"],
    "mafw": ["Train & Test Set/single/no_caption/set_2/train.txt"],
    "meld": [
        *("train_sent_emo.csv", "train_splits", "dev_sent_emo.csv", "dev_splits_complete"),
    ],
    "mme_emotion": [*("ER-Lab", "ER-Wild", "Noise-ER", "FG-ER", "ML-ER", "SA", "FG-SA")],
    "vce": ["train_labels.json"],
}


@pytest.mark.parametrize("name", OTHER_SPLITS)
def test_a_split_alone_is_enough_if_one_says_so(name: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS[name](tmp_path, kit)
    ran = run(name, [*made.args, SUBSET], tmp_path)
    before = ran.rows
    ran.manifests[0].unlink()
    for each in OTHER_SPLITS[name]:
        path = tmp_path / each
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run(name, made.args, tmp_path).code == 1
    after = run(name, [*made.args, SUBSET], tmp_path)
    assert after.code == 0, after.err
    assert "note: not there, and left out: " in after.out
    assert 0 < len(after.rows) < len(before)
    assert all(before[id] == row for id, row in after.rows.items())


@pytest.mark.parametrize("name", SCRIPTS)
def test_pointers_of_git_lfs_are_no_media(name: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS[name](tmp_path, kit)
    if not (files := media_files(tmp_path)):
        return  # text alone
    for path in files:
        write(path, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    ran = run(name, [*made.args, SUBSET], tmp_path)
    assert (ran.code, "a pointer of git-lfs, not the file itself" in ran.err) == (1, True)
    assert "git lfs pull" in ran.err
    assert ran.manifests == []


def media(row: dict) -> dict[str, str]:
    """Its media by kind, and those of its clips."""
    own = {kind: row[kind] for kind in MEDIA_FIELDS if kind in row}
    clips = enumerate(row.get("clips", []))
    return own | {f"{at}.{kind}": path for at, clip in clips for kind, path in media(clip).items()}


def spoilers(made: Made, kit: Kit) -> list[Callable[[], object]]:
    """Each puts a file of another form into the fixture."""
    if made.named:
        return [partial(kit.put, made.table)]
    return [partial(made.table.write_bytes, content) for content in NO_TABLES]
