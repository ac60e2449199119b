"""A CSV of clips becomes a manifest that reads without a problem, or one list of what is wrong."""

from __future__ import annotations

import errno
import json
import os
import pickle
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affect_mllm.data import manifest
from affect_mllm.data.path_check import PathCheck
from affect_mllm.tools import splits
from affect_mllm.tools.app import main
from affect_mllm.tools.manifest import Layout, convert, manifest_command
from affect_mllm.tools.splits import Fractions, split_units
from affect_mllm.types import ConfigError, DataError


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", "b.WAV", "c.jpg", "d.xyz"):
        (tmp_path / "clips" / name).touch()
    return tmp_path / "clips"


def table(clips: Path, text: str) -> Path:
    path = clips.parent / "clips.csv"
    path.write_text(text)
    return path


def lay(clips: Path, emotion_column: str = "emotion") -> Layout:
    return Layout(clips, clips.parent / "m.jsonl", emotion_column)


def test_a_csv_becomes_a_manifest_without_problems(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(
        clips,
        "File,Subtitle,EMOTION,split,Valence,emotions,mood,start_s\n"
        'a.mp4,"Well, ""yes""\nor no",Happy,Train,0.5,happy; Calm,x,1\n'
        "b.WAV,,sad,test,,,,\nc.jpg,,sad,val,,,,\n,just words,,train,,,,\n",
    )
    out = clips.parent / "m.jsonl"
    manifest_command(path, clips, out)
    first, second, third, fourth = manifest.read(out)
    assert first.id == "a.mp4@1"
    assert first.media == {"video": "clips/a.mp4"}
    assert first.subtitle == 'Well, "yes"\nor no'
    assert first.labels == {"emotion": "happy", "emotions": ["happy", "calm"], "valence": 0.5}
    assert (first.split, first.start_s) == ("train", 1.0)
    assert second.media == {"audio": "clips/b.WAV"}
    assert third.media == {"image": "clips/c.jpg"}
    assert fourth.subtitle == "just words"
    assert fourth.media == fourth.labels == {}
    told = capsys.readouterr().out
    assert "ignored columns: 'mood'" in told
    assert "rows: test 1, train 2, val 1" in told


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_a_byte_order_mark(clips: Path, delimiter: str) -> None:
    path = table(clips, "\ufeffid,file,emotion,split\nx,a.mp4,sad,train\n".replace(",", delimiter))
    assert convert(path, lay(clips), fractions=Fractions()).rows == [
        {"id": "x", "video": "clips/a.mp4", "split": "train", "labels": {"emotion": "sad"}}
    ]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;\r", '"sep=;"'])
def test_excels_first_line_tells_the_delimiter_and_counts_as_a_line(
    clips: Path, first: str
) -> None:
    path = table(clips, f"{first}\nfile;subtitle\na.mp4;yes, no, perhaps\nnone.mp4;x\n")
    with pytest.raises(DataError, match=r"1 problem\n.*clips\.csv:4: .*none\.mp4"):
        convert(path, lay(clips), fractions=Fractions())
    path = table(clips, f"{first}\nfile;subtitle\na.mp4;yes, no, perhaps\n")
    (row,) = convert(path, lay(clips), fractions=Fractions(val=0, test=0)).rows
    assert row["subtitle"] == "yes, no, perhaps"


def test_paths_of_windows_and_names_of_macos_get_a_hint(clips: Path) -> None:
    (clips / "day 1").mkdir()
    (clips / "day 1/e.mp4").touch()
    (clips / unicodedata.normalize("NFD", "müde.mp4")).touch()
    path = table(clips, "file\nday 1\\e.mp4\nday 2\\e.mp4\nmüde.mp4\nnone.mp4\n")
    with pytest.raises(DataError) as caught:
        convert(path, lay(clips), fractions=Fractions())
    said = [line for line in str(caught.value).splitlines() if "is missing" in line]
    assert "it is there as clips/day 1/e.mp4: write / instead" in said[0]
    assert "write / between folders" in said[1]
    assert "Unicode form NFD" in said[2]
    assert said[3].endswith("none.mp4")


def test_a_missing_path_is_hinted_at_as_its_key_may_be_and_not_outside(tmp_path: Path) -> None:
    root = tmp_path / "a\\b"  # a folder's own backslash is none of Windows'
    (root / "day/é").mkdir(parents=True)
    (root / "day/clip.mp4").touch()
    (tmp_path / "secret.mp4").touch()
    check, apart = PathCheck(root), unicodedata.normalize("NFD", "day\\é")
    assert "it is there as day/é:" in (check.problem("frames", apart) or "")
    assert "write / between folders" in (check.problem("video", apart) or "")
    assert "it is there as day/clip.mp4:" in (check.problem("video", "day\\clip.mp4") or "")
    assert "secret.mp4:" not in (check.problem("video", "..\\secret.mp4") or "")
    assert check.problem("video", "day/clip.mp3") == "video is missing: day/clip.mp3"


def test_an_empty_folder_and_one_of_pointers_are_no_media(tmp_path: Path) -> None:
    for name in ("empty", "macos", "cloned", "whole"):
        (tmp_path / name).mkdir()
    (tmp_path / "macos/.DS_Store").touch()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 12345\n"
    (tmp_path / "cloned/1.jpg").write_text(pointer)
    (tmp_path / "whole/1.jpg").write_bytes(b"a picture")
    check = PathCheck(tmp_path)
    for kind in ("frames", "faces"):
        assert check.problem(kind, "empty") == f"{kind} is an empty folder: empty"
        assert check.problem(kind, "macos") == f"{kind} is an empty folder: macos"
        assert "git lfs pull" in (check.problem(kind, "cloned") or "")
        assert check.problem(kind, "whole") is None


def test_all_errors_come_together_with_their_lines(clips: Path) -> None:
    path = table(
        clips,
        "id,file,valence,split\n"
        "x,a.mp4,much,train\nx,b.WAV,3,train\ny,d.xyz,,train\nz,none.mp4,0,\ntoo,few\n",
    )
    with pytest.raises(DataError) as caught:
        convert(path, lay(clips), fractions=Fractions())
    message = str(caught.value)
    for line, reason in (
        (2, "valence must be a number, got 'much'"),
        (3, "duplicate id, first used in line 2"),
        (3, "labels.valence must be a number from -1 to 1, got 3.0"),
        (4, "unknown ending: d.xyz"),
        (5, "video is missing: clips/none.mp4"),
        (5, "no split in this row"),
        (6, "2 cells for 4 columns"),
    ):
        assert any(f"{path}:{line}: " in each and reason in each for each in message.split("\n"))


def test_recordings_of_telephones_are_known_by_their_endings(clips: Path) -> None:
    kinds = {
        "video": ("IMG_1.MOV", "VID_2.3gp", "00003.MTS"),
        "audio": ("call.amr", "Memo 4.m4a", "PTT-5.opus", "note.oga", "rec.caf", "old.aiff"),
        "image": ("IMG_6.HEIC", "IMG_7.JPG"),
    }
    for name in (name for names in kinds.values() for name in names):
        (clips / name).touch()
    rows = "".join(f"{name},sad,train\n" for names in kinds.values() for name in names)
    made = convert(table(clips, f"file,emotion,split\n{rows}"), lay(clips), fractions=Fractions())
    assert [(row["id"], kind) for row in made.rows for kind in kinds if kind in row] == [
        (name, kind) for kind, names in kinds.items() for name in names
    ]


def test_a_medium_that_was_refused_is_not_called_lacking_as_well(clips: Path) -> None:
    path = table(clips, "file,subtitle,emotion,split\nd.xyz,,sad,train\n,,sad,train\n")
    with pytest.raises(DataError) as caught:
        convert(path, lay(clips), fractions=Fractions())
    first, second = [line for line in str(caught.value).split("\n") if f"{path}:" in line][1:]
    assert "unknown ending: d.xyz (put it into a column named after its medium" in first
    assert "no modality" in second


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no rows"),
        ("file,emotion\n", "no rows"),
        ("file,File\na.mp4,a.mp4\n", "columns named twice: file"),
        ("clip,emotion\na.mp4,sad\n", "at least one of file, video"),
    ],
)
def test_tables_that_cannot_be_used(clips: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        convert(table(clips, text), lay(clips), fractions=Fractions())


def test_a_named_emotion_column_is_used_and_has_to_exist(clips: Path) -> None:
    path = table(clips, "file,Affect,split\na.mp4,Joy,train\n")
    rows = convert(path, lay(clips, "affect"), fractions=Fractions()).rows
    assert rows[0]["labels"] == {"emotion": "joy"}
    with pytest.raises(DataError, match="no column 'affekt'"):
        convert(path, lay(clips, "affekt"), fractions=Fractions())


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_manifest_may_lie_elsewhere_than_its_media(clips: Path, ending: str) -> None:
    path = table(clips, "file,split\na.mp4,train\n")
    out = clips.parent / "elsewhere" / f"m.{ending}"
    manifest_command(path, clips, out)
    (row,) = manifest.read(out)
    assert row.media == {"video": "a.mp4"}
    assert row.path("video").samefile(clips / "a.mp4")
    (again,) = pickle.loads(pickle.dumps(manifest.read(out)))  # another process, as loaders have
    assert again == row
    (out.with_name(out.name + ".media_root.json")).write_text('{"media_root": "/nowhere"}')
    with pytest.raises(DataError, match="media_root /nowhere"):
        manifest.read(out)
    manifest.write([{"id": "x", "subtitle": "words"}], out)
    assert manifest.read(out)[0].root == out.parent, "the old place is no longer said"
    manifest_command(path, clips)
    assert manifest.read(clips / "manifest.jsonl")[0].media == {"video": "a.mp4"}


@pytest.mark.parametrize(
    "named", ["/", "//", "/tmp/..", "relative", "..", None, 3, ["/tmp"], "\x00"]
)
def test_a_media_root_is_one_folder_and_not_the_disk(tmp_path: Path, named: object) -> None:
    out = tmp_path / "m.jsonl"
    manifest.write([{"id": "x", "subtitle": "words"}], out)
    (tmp_path / "m.jsonl.media_root.json").write_text(json.dumps({"media_root": named}))
    with pytest.raises(DataError, match=r"media_root\.json: media_root"):
        manifest.read(out)


@pytest.mark.parametrize("media", ["../secret.mp4", "link.mp4", "link/secret.mp4", "/etc/hosts"])
def test_no_path_leaves_the_media_root(clips: Path, media: str) -> None:
    (clips.parent / "secret.mp4").touch()
    (clips / "link.mp4").symlink_to(clips.parent / "secret.mp4")
    (clips / "link").symlink_to(clips.parent)
    out = clips.parent / "elsewhere/m.jsonl"
    manifest.write([{"id": "x", "video": media}], out, media_root=clips)
    (problem,) = manifest.problems(out)
    assert "leaves" in problem.reason or "absolute" in problem.reason


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_data_set_is_named_and_its_advice_works(
    clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    path, real = table(clips, "file,split\na.mp4,train\n"), tempfile.mkstemp

    def refuse(*given: Any, dir: Any, **more: Any) -> Any:
        if Path(dir) == clips:
            raise OSError(code, os.strerror(code), str(dir))
        return real(*given, dir=dir, **more)

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    command = ["manifest", "--csv", str(path), "--media-root", str(clips)]
    with pytest.raises(SystemExit) as left:
        main(command)
    said = capsys.readouterr().err
    assert left.value.code == 1
    assert os.strerror(code) in said
    assert "--out FILE" in said
    out = clips.parent / "manifests/own.jsonl"
    with pytest.raises(SystemExit) as left:
        main([*command, "--out", str(out)])
    assert left.value.code == 0
    assert manifest.read(out)[0].path("video").samefile(clips / "a.mp4")
    assert sorted(os.listdir(clips)) == ["a.mp4", "b.WAV", "c.jpg", "d.xyz"]


def test_mixed_types_in_a_column_of_parquet_are_named(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(clips, "file,split,sentiment\na.mp4,train,positive\nb.WAV,train,-1\n")
    command = ["manifest", "--csv", str(path), "--media-root", str(clips)]
    with pytest.raises(SystemExit) as left:
        main([*command, "--out", str(clips / "m.parquet")])
    said = capsys.readouterr().err
    assert left.value.code == 1
    assert "labels.sentiment is str in line 1, number in line 2" in said
    assert sorted(os.listdir(clips)) == ["a.mp4", "b.WAV", "c.jpg", "d.xyz"]
    with pytest.raises(SystemExit) as left:
        main([*command, "--out", str(clips / "m.jsonl")])  # the advice
    assert left.value.code == 0


def test_the_command_line_says_where_and_exits_with_1(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(clips, "file,split\nnone.mp4,train\n")
    with pytest.raises(SystemExit) as left:
        main(["manifest", "--csv", str(path), "--media-root", str(clips)])
    assert left.value.code == 1
    assert f"{path}:2: [none.mp4] video is missing" in capsys.readouterr().err
    assert not (clips / "manifest.jsonl").exists()


def test_a_group_is_never_in_two_splits(clips: Path) -> None:
    rows = [{"id": str(at), "speaker": f"s{at % 3}", "group": f"g{at // 7}"} for at in range(210)]
    assert "by group with seed 5" in splits.assign(rows, Fractions(seed=5))
    pairs = {(row["group"], row["split"]) for row in rows}
    assert len(pairs) == 30
    counts = {split: sum(row["split"] == split for row in rows) for split in ("val", "test")}
    assert counts == {"val": 21, "test": 21}


def test_the_split_depends_on_the_seed_and_on_nothing_else() -> None:
    sizes = {("group", str(at)): 1 + at % 4 for at in range(60)}
    one = split_units(sizes, Fractions(seed=1))
    assert one == split_units(dict(reversed(sizes.items())), Fractions(seed=1))
    assert one != split_units(sizes, Fractions(seed=2))


@given(
    sizes=st.lists(st.integers(1, 50), min_size=3, max_size=40),
    val=st.floats(0.01, 0.4),
    test=st.floats(0.01, 0.4),
    seed=st.integers(0, 9),
)
def test_every_split_has_rows(sizes: list[int], val: float, test: float, seed: int) -> None:
    units = {("speaker", str(at)): size for at, size in enumerate(sizes)}
    result = split_units(units, Fractions(val=val, test=test, seed=seed))
    assert result.keys() == units.keys()
    assert set(result.values()) == {"train", "val", "test"}


def test_a_share_of_nothing_and_shares_of_more_than_all() -> None:
    units = {("id", str(at)): 1 for at in range(9)}
    assert set(split_units(units, Fractions(val=0, test=0)).values()) == {"train"}
    with pytest.raises(DataError, match="2 groups of rows for 3 splits"):
        split_units({("id", "a"): 1, ("id", "b"): 1}, Fractions())
    with pytest.raises(ConfigError, match="a sum below 1"):
        Fractions(val=0.5, test=0.5)
