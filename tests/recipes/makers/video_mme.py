"""video_mme: a few rows as the Hub has them, made up."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "data/abc.mp4", root / "data/def.mp4")
    write(root / "subtitle/abc.srt", "1\n00:00:00,000 --> 00:00:01,000\n<font>He falls.</font>\n")
    row = {"duration": "short", "domain": "Knowledge", "sub_category": "Law", "task_type": "OCR"}
    row |= {"question": "What happens?", "options": ["A. a fall.", "B. a jump."], "answer": "A"}
    names = {"001-1": "abc", "001-2": "abc", "002-1": "def"}
    rows = [row | {"question_id": id, "videoID": name} for id, name in names.items()]
    path = root / "test-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return Made([str(path)], path, 3)
