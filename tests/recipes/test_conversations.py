"""LLaVA-style conversations: both notations, repeated ids, placeholders, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.kit import SUBSET, Kit, run, write
from tests.recipes.makers import MAKERS

ASKED = [{"from": "human", "value": "<image>\nWho?"}, {"from": "gpt", "value": "A child."}]


def test_both_notations_become_messages(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["conversations"](tmp_path, kit)
    ran = run("conversations", made.args, tmp_path)
    assert ran.manifests == [tmp_path / "images/manifest-llava_mix.jsonl"]
    assert list(ran.rows) == ["000", "000#2", "7", "text"]
    assert ran.rows["000"]["messages"] == [
        {"role": "user", "content": "<image>\nWho?"},
        {"role": "assistant", "content": "A child."},
    ]
    film = ran.rows["7"]
    assert film["video"] == "clip.mp4"
    assert [turn["role"] for turn in film["messages"]] == ["system", "user", "assistant"]
    assert len(ran.rows["000#2"]["messages"]) == 4
    assert "image" not in ran.rows["text"]
    assert ran.rows["text"]["licence"] == "CC BY 4.0"
    assert "note: 1 ids are used several times" in ran.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conversations": ASKED[:1]}, "the roles ['user']"),
        ({"conversations": ASKED[::-1]}, "the roles ['assistant', 'user']"),
        ({"conversations": []}, "the roles []"),
        ({"conversations": [{"from": "bot", "value": "x"}]}, "from 'bot'"),
        ({"conversations": [{"from": "human"}]}, "no key 'value'"),
        ({"conversations": "text"}, "conversations 'text'"),
        ({"image": None}, "placeholders {'image': 1} for the media {}"),
        ({"video": "clip.mp4"}, "for the media {'image': 1, 'video': 1}"),
        ({"image": ["a.jpg", "b.jpg"]}, "{'image': 1} for the media {'image': 2}"),
        ({"image": ["a.jpg", 7]}, "image ['a.jpg', 7]"),
        ({"id": None}, "id None"),
    ],
)
def test_what_a_row_cannot_say_is_refused_with_its_place(
    change: dict[str, Any], message: str, tmp_path: Path, kit: Kit
) -> None:
    kit.put(tmp_path / "a.jpg")
    record = {"id": "x", "image": "a.jpg", "conversations": ASKED}
    path = write(tmp_path / "c.json", json.dumps([record, {**record, **change}]))
    ran = run("conversations", [str(path), "--licence", "own"], tmp_path)
    assert (ran.code, ran.manifests) == (1, [])
    assert f"{path}[1]: " in ran.err
    assert message in ran.err


def test_several_pictures_become_clips(tmp_path: Path, kit: Kit) -> None:
    kit.put(tmp_path / "a.jpg", tmp_path / "b.jpg")
    said = [{"from": "human", "value": "<image><image>\nWho?"}, ASKED[1]]
    record = {"id": "x", "image": ["b.jpg", "a.jpg"], "conversations": said}
    path = write(tmp_path / "c.json", json.dumps([record]))
    ran = run("conversations", [str(path), "--licence", "own"], tmp_path)
    assert ran.code == 0, ran.err
    assert ran.rows["x"]["clips"] == [{"image": "b.jpg"}, {"image": "a.jpg"}]


def test_a_path_out_of_the_media_folder_is_refused(tmp_path: Path, kit: Kit) -> None:
    kit.put(tmp_path / "secret.jpg")
    record = {"id": "x", "image": "../secret.jpg", "conversations": ASKED}
    path = write(tmp_path / "set/c.json", json.dumps([record]))
    ran = run("conversations", [str(path), "--licence", "own", SUBSET], tmp_path)
    assert ran.code == 2
    assert "does not lie below" in ran.err


def test_json_lines_are_read_too(tmp_path: Path) -> None:
    said = [{"role": "human", "content": "How\u2028so?"}, {"role": "assistant", "content": "joy"}]
    lines = [json.dumps({"id": n, "conversations": said}, ensure_ascii=False) for n in range(2)]
    path = write(tmp_path / "aaid.json", "\n" + "\n".join(lines) + "\n")
    ran = run("conversations", [str(path), "--licence", "MIT"], tmp_path)
    assert list(ran.rows) == ["0", "1"]
    assert ran.rows["1"]["messages"][0] == {"role": "user", "content": "How\u2028so?"}
    write(path, lines[0] + "\nno json\n")
    again = run("conversations", [str(path), "--licence", "MIT", "--out", "x.jsonl"], tmp_path)
    assert again.code == 1
    assert f"{path}:2: not JSON" in again.err
