"""The feature cache: nothing stale can be found, nothing half-written can be read."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affect_mllm.data.cache import FeatureCache
from affect_mllm.data.faces import Faces
from affect_mllm.media.sampling import Sampling
from affect_mllm.types import DataError, Sample

STATES = {"face": np.arange(6, dtype=np.float32).reshape(3, 2)}


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    (tmp_path / "a.mp4").write_bytes(b"some bytes")
    return Sample("a", tmp_path, {"video": "a.mp4"})


@pytest.fixture
def cache(tmp_path: Path, sample: Sample) -> FeatureCache:
    made = FeatureCache(tmp_path / "cache", {"frames": 8})
    made.put(sample, STATES, ("a: no sound",))
    return made


def test_what_was_put_is_found_by_another_process_too(cache, sample) -> None:
    for each in (cache, FeatureCache(cache.root, {"frames": 8})):
        found = each.get(sample)
        assert found is not None
        assert found["face"].tolist() == STATES["face"].tolist()
        assert each.warnings(sample) == ("a: no sound",)


def test_another_row_about_the_same_bytes_shares_the_entry(cache, sample) -> None:
    os.rename(sample.root / "a.mp4", sample.root / "b.mp4")
    assert cache.get(Sample("b", sample.root, {"video": "b.mp4"}, subtitle="x")) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"start_s": 0.5},
        {"end_s": 1.0},
        {"face_boxes": ((0.0, 0.0, 5.0, 5.0),), "face_times_s": (0.0,)},
        {"media": {"audio": "a.mp4"}},
    ],
)
def test_another_cut_box_or_kind_is_not_found(cache, sample, change) -> None:
    assert cache.get(replace(sample, **change)) is None


def test_other_bytes_are_not_found_even_of_the_same_length(cache, sample) -> None:
    path = sample.path("video")
    before = path.stat()
    path.write_bytes(b"some_bytes")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert cache.get(sample) is None


def test_other_settings_are_not_found(cache, sample) -> None:
    assert FeatureCache(cache.root, {"frames": 9}).get(sample) is None
    same = FeatureCache(cache.root, {"frames": 8})
    assert same.get(sample) is not None


def test_every_setting_of_the_reader_and_the_encoders_decides(tiny, tmp_path) -> None:
    data = replace(tiny.data, cache_dir=str(tmp_path))
    sample = tiny.samples[0]

    def place(reader: dict, print_: str = "x") -> Path:
        features = replace(data, reader=replace(data.reader, **reader)).features(
            {}, {"face": print_}
        )
        assert features.cache is not None
        return features.cache.path(sample)

    changes = [
        {}, {"sampling": Sampling(frames=3)}, {"sampling": Sampling(frames=2, place="start")},
        {"faces": Faces(size=9)}, {"faces": Faces(margin=0.5)}, {"visual": "frame"},
        {"faces": Faces(detector="asset:mtcnn")}, {"faces": Faces(person="longest")},
        {"faces": Faces(array_colors="bgr")}, {"backend": "pyav"}, {"features": False},
    ]  # fmt: skip
    places = [place(change) for change in changes] + [place({}, "y")]
    assert len(set(places)) == len(places)
    assert place({}) == places[0]


def test_a_kill_while_writing_leaves_no_entry(cache, sample, tmp_path) -> None:
    code = (
        "import os, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from affect_mllm.data.cache import FeatureCache\n"
        "from affect_mllm.types import Sample\n"
        "os.replace = lambda *a: os._exit(9)\n"
        f"s = Sample('a', Path({str(sample.root)!r}), {{'video': 'a.mp4'}}, start_s=1.0)\n"
        f"FeatureCache(Path({str(cache.root)!r}), {{'frames': 8}}).put(s, {{'x': np.ones(3)}})\n"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 9
    later = replace(sample, start_s=1.0)
    assert cache.get(later) is None
    cache.put(later, STATES)
    assert cache.get(later) is not None


def test_a_damaged_entry_and_a_missing_file_say_so(cache, sample) -> None:
    path = cache.path(sample)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="delete this file"):
        cache.get(sample)
    sample.path("video").unlink()
    with pytest.raises(DataError, match=r"a\.mp4"):
        cache.get(sample)
