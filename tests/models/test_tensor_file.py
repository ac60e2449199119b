"""A file written tensor by tensor is the one that safetensors reads."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from affect_mllm.models.tensor_file import DTYPES, write_tensors


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    found = {f"a.{kind}": (9 * torch.rand(3, 5)).to(kind) for kind in DTYPES}
    found |= {'näme "quoted"': torch.rand(2, 2).t(), "none": torch.zeros(0, 4)}
    return {**found, "one": torch.tensor(7), "long": torch.rand(1, 1, 1, 1, 2, 1, 1, 1, 3)}


def test_what_is_written_is_read_to_the_bit(tmp_path) -> None:
    given = tensors()
    write_tensors(tmp_path / "a.safetensors", list(given), given.items())
    read = load_file(tmp_path / "a.safetensors")
    assert read.keys() == given.keys()
    for name, tensor in given.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor), name


def test_a_file_without_tensors_can_be_read(tmp_path) -> None:
    write_tensors(tmp_path / "a.safetensors", [], [])
    assert load_file(tmp_path / "a.safetensors") == {}


def test_only_one_tensor_is_asked_for_at_a_time(tmp_path) -> None:
    """The next is made when the one before is in the file."""
    path, sizes = tmp_path / "a.safetensors", []

    def made():
        for name in "abc":
            sizes.append(path.stat().st_size)
            yield name, torch.rand(1 << 16)

    write_tensors(path, list("abc"), made())
    assert sizes == sorted(sizes)
    assert sizes[2] - sizes[1] == 4 << 16


@pytest.mark.parametrize("kind", [torch.complex64])
def test_a_dtype_that_the_format_has_not_is_an_error(kind, tmp_path) -> None:
    with pytest.raises(KeyError):
        write_tensors(tmp_path / "a.safetensors", ["x"], [("x", torch.zeros(2, dtype=kind))])
