"""Tables that bring their pictures along: TSV and Parquet alike, shared pictures, faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from affect_mllm.data import manifest
from affect_mllm.data.messages import media_of
from affect_mllm.eval.benchmarks import load_task
from tests.recipes.embedded import OPTIONS, tsv
from tests.recipes.kit import SUBSET, Kit, Ran, run, write

ROW = {"question": "What is it?", "answer": "B", **OPTIONS}


def ai2d(path: Path, *options: str) -> Ran:
    return run("ai2d", [str(path), SUBSET, *options], path.parent)


def parquet(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def test_the_hubs_parquet_in_shards_gives_the_rows_of_the_tsv(tmp_path: Path, kit: Kit) -> None:
    pictures = [kit.picture() for _ in range(3)]
    rows = [{"index": at, **ROW, "image": each} for at, each in enumerate(pictures)]
    first = ai2d(tsv(tmp_path / "one/AI2D_TEST.tsv", rows)).rows
    shared = {"question": "What is it?", "options": [*OPTIONS.values()], "answer": "1"}
    hub = [{**shared, "image": {"bytes": each, "path": "x.png"}} for each in pictures]
    folder = tmp_path / "two/data"
    parquet(folder / "test-00000-of-00002.parquet", hub[:2])
    parquet(folder / "test-00001-of-00002.parquet", hub[2:])
    assert ai2d(folder).rows == first
    assert list(first) == ["0", "1", "2"]


def test_a_picture_of_several_rows_is_one_file_and_one_group(tmp_path: Path, kit: Kit) -> None:
    rows = [{"index": 7, **ROW, "image": kit.picture()}, {"index": 8, **ROW, "image": "7"}]
    found = ai2d(tsv(tmp_path / "a.tsv", rows)).rows
    assert found["7"]["image"] == found["8"]["image"]
    assert found["7"]["group"] == found["8"]["group"]
    assert len([*(tmp_path / "images").iterdir()]) == 1


def test_a_picture_that_is_gone_is_written_again(tmp_path: Path, kit: Kit) -> None:
    path = tsv(tmp_path / "a.tsv", [{"index": 0, **ROW, "image": kit.picture()}])
    before = ai2d(path).rows
    (tmp_path / before["0"]["image"]).unlink()
    assert ai2d(path).rows == before
    assert (tmp_path / before["0"]["image"]).is_file()


def test_a_pointer_of_git_lfs_is_no_table(tmp_path: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    ran = ai2d(write(tmp_path / "a.tsv", text))
    assert (ran.code, "git lfs pull" in ran.err) == (1, True)


def test_rows_of_several_pictures_are_left_out_and_counted(tmp_path: Path, kit: Kit) -> None:
    several = [kit.picture(), kit.picture()]
    rows = [{"index": 0, **ROW, "image": kit.picture()}, {"index": 1, **ROW, "image": str(several)}]
    ran = ai2d(tsv(tmp_path / "a.tsv", rows))
    assert list(ran.rows) == ["0"]
    assert "1 rows left out, which have no picture or several" in ran.out


def test_several_pictures_are_clips_that_stand_where_the_text_says(
    tmp_path: Path, kit: Kit
) -> None:
    asked = "Before <image 2>, and again <image 2>: which?"
    row = {"id": "validation_Art_Theory_3", "question": asked, "answer": "A",
           "options": "['<image 1>', 'none']", "question_type": "multiple-choice"}  # fmt: skip
    pictures = {f"image_{n}": {"bytes": kit.picture(), "path": "x.png"} for n in (1, 2, 3)}
    path = parquet(tmp_path / "validation-00000-of-00001.parquet", [row | pictures])
    ran = run("mmmu", [str(path), SUBSET], tmp_path)
    (made,) = ran.rows.values()
    assert [clip["name"] for clip in made["clips"]] == ["1", "2", "3"]
    assert made["labels"]["question"] == ("<image:3>\nBefore <image:2>, and again image 2: which?")
    assert made["labels"]["options"] == {"A": "<image:1>", "B": "none"}
    (sample,) = manifest.read(ran.manifests[0])
    asked = load_task("mmmu").ask(sample)
    order = media_of(sample, ["image.1", "image.2", "image.3"], asked)
    assert order == ["image.1", "image.2", "image.3"], "each has its place"
    assert asked.index("<image:3>") < asked.index("<image:2>") < asked.index("A. <image:1>")


def test_frames_of_a_video_are_a_folder_in_their_order(tmp_path: Path, kit: Kit) -> None:
    row = {"question": "What happens?", "answer": "B", "question_type_id": 10, "data_id": "v1"}
    row |= {f"choice_{x.lower()}": text for x, text in OPTIONS.items()}
    frames = [kit.picture() for _ in range(3)]
    shown = [{"bytes": each, "path": "x.jpg"} for each in frames]
    still = row | {"data_type": "image", "image": shown[:1]}
    path = parquet(tmp_path / "test.parquet", [still, row | {"data_type": "video", "image": shown}])
    ran = run("seed_bench", [str(path), SUBSET, "--form", "video"], tmp_path)
    (made,) = ran.rows.values()
    files = sorted((tmp_path / made["frames"]).iterdir())
    assert [each.read_bytes() for each in files] == frames
    (sample,) = manifest.read(ran.manifests[0])
    assert load_task("seed_bench_video").select([sample]) == [sample]
    assert sample.group == "v1"
    ran.manifests[0].unlink()
    assert [row["image"] for row in run("seed_bench", [str(path), SUBSET], tmp_path).rows.values()]


def test_labels_alone_write_no_picture(tmp_path: Path, kit: Kit) -> None:
    path = tsv(tmp_path / "a.tsv", [{"index": 0, **ROW, "image": kit.picture()}])
    assert ai2d(path, "--labels-only").code == 0
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("image", "reason"),
    [("not base64 at all, and longer than any index of a row could be …", "no base64"),
     ("QUJD" * 40, "a picture of no known form")],
)  # fmt: skip
def test_what_is_no_picture_is_named(image: str, reason: str, tmp_path: Path) -> None:
    ran = ai2d(tsv(tmp_path / "a.tsv", [{"index": 0, **ROW, "image": image}]))
    assert (ran.code, ran.manifests) == (1, [])
    assert reason in ran.err
    assert f"{tmp_path / 'a.tsv'}:1" in ran.err


def test_a_question_that_lacks_a_rotation_is_named(tmp_path: Path, kit: Kit) -> None:
    common = {"question": "What is it?", "category": "c", "answer": "A", "split": "dev"}
    rows = [
        {"index": index, **common, "A": "a dog", "B": "a cat", "image": kit.picture()}
        for index in (3, 1_000_003, 4)
    ]
    path = tsv(tmp_path / "MMBench_DEV_EN.tsv", rows)
    ran = run("mmbench", [str(path), "--release", "1.1"], tmp_path)
    assert ran.code == 1
    assert "1 questions lack rotations: 4: 1 of 2" in ran.err


def test_subtitles_are_what_is_spoken(tmp_path: Path, kit: Kit) -> None:
    from tests.recipes.makers import MAKERS

    made = MAKERS["video_mme"](tmp_path, kit)
    ran = run("video_mme", [*made.args, SUBSET, "--subtitles"], tmp_path)
    assert [row.get("subtitle") for row in ran.rows.values()] == ["He falls.", "He falls.", None]
    assert "1 videos have no subtitles" in ran.out


def test_mmstars_options_are_read_from_its_question() -> None:
    from mmstar import in_question

    asked = "Which?\nOptions: A: red, B: blue, or green, C: 1, D: none"
    assert in_question(asked) == {"A": "red", "B": "blue, or green", "C": "1", "D": "none"}
    assert in_question("Which of these?") == dict.fromkeys("ABCD", "")
