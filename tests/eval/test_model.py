"""`eval.py` asks any model alone: a folder of transformers, a server, or a checkpoint beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affect_mllm.eval.main import main
from affect_mllm.types import ConfigError
from tests import tiny_vlm
from tests.eval.server import served
from tests.processes import finished

TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def endpoint(url: str, tiny, folder: Path, *more: str) -> list[str]:
    return ["model=endpoint", f"model.url={url}", "model.model=org/served",
            f"manifest={tiny.root / 'manifest.jsonl'}", f"run_dir={folder}", *more]  # fmt: skip


@pytest.fixture(scope="module")
def vlm(tiny, tmp_path_factory) -> Path:
    return tiny_vlm.with_chat(tiny, tmp_path_factory.mktemp("alone"))


def test_a_folder_of_transformers_is_asked_alone(tiny, vlm, tmp_path) -> None:
    given = ["model=hf", f"model.model={vlm}", "model.dtype=float32", "max_new_tokens=3",
             f"manifest={tiny.root / 'manifest.jsonl'}", f"run_dir={tmp_path}"]  # fmt: skip
    assert main(given) == 0
    found = results(tmp_path)
    assert found["info"]["model"] == {"kind": "hf", "model": str(vlm), "dtype": "float32"}
    assert "lineage" not in found["info"]
    run = found["runs"]["synthetic"]
    assert set(run["variants"]) == {"face+audio+text", "majority"}
    assert run["variants"]["face+audio+text"]["checkpoint"].startswith(f"{vlm.name}-")
    assert run["n"] == 4


def test_a_server_is_asked_alone_and_never_twice(tiny, tmp_path) -> None:
    with served(lambda _b, _n: (200, "happy")) as seen:
        given = endpoint(seen.url, tiny, tmp_path, "subsets=[face+text,text]")
        assert main(given) == 0
        first, count = results(tmp_path), len(seen.requests)
        assert main(given) == 0
        worded = [s for s in tiny.samples if s.split == "test" and s.subtitle]
        assert len(seen.requests) == count == 4 + len(worded)
        said = {len(body["messages"][-1]["content"]) > 1 for body in seen.requests}
        assert said == {True, False}, "pictures with words, and words alone"
    assert results(tmp_path) == first
    # The run's own folder is this model's.
    with served(lambda _b, _n: (200, "happy")) as other:
        with pytest.raises(ConfigError, match="choose another run_dir"):
            main(endpoint(other.url, tiny, tmp_path, "benchmark=synthetic_conflict"))
        assert not other.requests


def test_a_manifests_own_labels_can_be_asked_of_it(tiny, tmp_path) -> None:
    with served(lambda _b, _n: (200, "happy")) as seen:
        assert main(endpoint(seen.url, tiny, tmp_path, "benchmark=own_clips")) == 0
    assert "own_clips" in results(tmp_path)["runs"]
    assert "happy" in seen.requests[0]["messages"][-1]["content"][-1]["text"]


def test_the_message_and_the_pictures_are_the_users(tiny, tmp_path) -> None:
    with served(lambda _b, _n: (200, "happy")) as seen:
        more = ("reader=frames", "reader.sampling.frames=2", "system='Look well.'")
        assert main(endpoint(seen.url, tiny, tmp_path / "a", *more)) == 0
        assert main(endpoint(seen.url, tiny, tmp_path / "b")) == 0
    asked = [
        (
            body["messages"],
            sum(part["type"] == "image_url" for part in body["messages"][-1]["content"]),
        )
        for body in seen.requests
    ]
    given, plain = asked[:4], asked[4:]
    assert {messages[0]["content"] for messages, _ in given} == {"Look well."}
    assert {count for _, count in given} - {0} == {2}
    assert {messages[0]["role"] for messages, _ in plain} == {"user"}, "nothing is told"
    assert max(count for _, count in plain) == 8


def test_several_processes_share_the_rows(tiny, tmp_path) -> None:
    with served(lambda _b, _n: (200, "happy")) as seen:
        code, said = finished([*TWO, "eval.py", *endpoint(seen.url, tiny, tmp_path)])
    assert code == 0, said
    assert results(tmp_path)["runs"]["synthetic"]["n"] == len(seen.requests) == 4


def test_a_suite_is_asked_of_it(tiny, tmp_path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    with pytest.raises(ConfigError, match="no manifest of"):
        main(["suite=mer_unibench", f"manifests={folder}", "model=hf", "model.model=x"])
    with pytest.raises(ConfigError, match="no stages"):
        main(["suite=forgetting", f"manifests={folder}", "model=hf", "model.model=x"])


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("swaps=[audio]", "swaps"),
        ("untrained=true", "untrained"),
        ("answer_by=likelihood", "answer_by"),
        ("cache_dir=x", "cache_dir"),
        ("checkpoint=x", "checkpoint"),
    ],
)
def test_what_only_a_checkpoint_can_follow_is_refused(tiny, tmp_path, option, named) -> None:
    with pytest.raises(ConfigError, match=named):
        main(endpoint("http://x", tiny, tmp_path, option))
    assert not list(tmp_path.iterdir())


def test_a_deaf_model_is_not_asked_about_sound_alone(tiny, tmp_path) -> None:
    with served(lambda _b, _n: (200, "happy")) as seen:
        with pytest.raises(ConfigError, match=r"audio, which served-.* cannot hear"):
            main(endpoint(seen.url, tiny, tmp_path, "subsets=[face+text,audio]"))
        assert not seen.requests


def test_what_a_checkpoint_does_not_follow_is_refused(tiny, tiny_run, tmp_path) -> None:
    given = [f"checkpoint={tiny_run / 'instruct/final'}", f"run_dir={tmp_path}"]
    with pytest.raises(ConfigError, match="reader, system: given"):
        main([*given, "reader=frames", "system=x"])
    with pytest.raises(ConfigError, match=r"model=hf model\.model=NAME"):
        main([f"run_dir={tmp_path}"])
    with pytest.raises(ConfigError, match="manifest"):
        main(["model=endpoint", "model.url=x", "model.model=y", f"run_dir={tmp_path}"])


def test_a_checkpoint_may_stand_beside_it(tiny, tiny_run, tmp_path) -> None:
    """Then the other one is shown what the checkpoint is shown."""
    ours = tiny_run / "instruct/final"
    with served(lambda _b, _n: (200, "happy")) as seen:
        more = ("baseline=checkpoint", f"checkpoint={ours}", "max_new_tokens=2")
        assert main(endpoint(seen.url, tiny, tmp_path, *more)) == 0
    found = results(tmp_path)
    assert found["info"]["baseline"]["checkpoint"] == str(ours)
    (name,) = (n for n in found["runs"]["synthetic"]["variants"] if n.startswith("baseline-"))
    assert found["runs"]["synthetic"]["variants"][name]["n"] == 4
    assert seen.requests[0]["messages"][0]["role"] == "system"
