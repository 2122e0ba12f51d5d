from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.decoders.falcon import checkpoint, load
from model.decoders.falcon.shape import Shape, shape_of
from model.jobs import DoesNotFit
from model.types import ModelUnavailable
from tests.model.falcon import small

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    small.falcon().save_pretrained(folder, max_shard_size="300KB")
    return folder


def test_a_sharded_checkpoint_packs_to_what_the_live_model_packs_to(
    saved: Path, tmp_path: Path
) -> None:
    assert len(list(saved.glob("*.safetensors"))) > 1
    said: list[str] = []
    loaded = checkpoint.load(saved, tmp_path, CPU, said.append)
    for name, tensor in small.pair()[0].tensors().items():
        assert torch.equal(getattr(loaded, name), tensor), name
    assert any("once" in sentence for sentence in said)


def test_the_second_load_takes_the_packed_copy_and_a_broken_copy_is_made_anew(
    saved: Path, tmp_path: Path
) -> None:
    first = checkpoint.load(saved, tmp_path, CPU, lambda _: None)
    said: list[str] = []
    second = checkpoint.load(saved, tmp_path, CPU, said.append)
    assert said == []
    assert all(torch.equal(a, second.tensors()[n]) for n, a in first.tensors().items())
    assert second.head.data_ptr() == second.embedding.data_ptr()
    (kept,) = tmp_path.glob("falcon-*.safetensors")
    kept.write_bytes(kept.read_bytes()[:1000])
    third = checkpoint.load(saved, tmp_path, CPU, said.append)
    assert torch.equal(third.w1, first.w1)
    assert "broken" in said[0]


def test_another_checkpoint_never_takes_this_ones_copy(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    small.falcon(seed=1).save_pretrained(other)
    assert checkpoint.digest(other) != checkpoint.digest(saved)


def test_a_folder_without_all_tensors_says_which_one_is_missing(tmp_path: Path) -> None:
    model = small.falcon()
    state = {k: v for k, v in model.state_dict().items() if "h.1.mlp" not in k}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ModelUnavailable, match=r"h\.1\.mlp"):
        checkpoint.load(tmp_path, tmp_path / "cache", CPU, lambda _: None)


def test_a_gpu_that_is_too_small_is_told_the_numbers_before_anything_is_loaded() -> None:
    falcon = Shape(hidden=4544, heads=71, layers=32, vocabulary=65024)
    with pytest.raises(DoesNotFit, match=r"has 6\.0 GB free .* needs about \d\.\d GB"):
        load.fit(falcon, 64, "tiiuae/falcon-7b", 6_000_000_000)
    assert load.fit(falcon, 64, "tiiuae/falcon-7b", 80_000_000_000) == 256
    assert 64 <= load.fit(falcon, 64, "tiiuae/falcon-7b", 8_000_000_000) < 256


def test_a_model_of_another_architecture_is_named_as_such() -> None:
    config = small.config()
    config.new_decoder_architecture = True
    with pytest.raises(ModelUnavailable, match="new_decoder_architecture"):
        shape_of(config)
