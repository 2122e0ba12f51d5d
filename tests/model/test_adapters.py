"""Adapters that do not fit are refused with the reason, and the old one goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model import adapters
from model.decoders.protocol import Draw
from model.decoders.reference import ReferenceDecoder
from model.types import AdapterRefused
from tests.model import tiny

WEIGHTS, CONFIG = adapters.WEIGHTS, adapters.CONFIG
IDS = [5, 6, 7, 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    tiny.save_adapter(folder / "warm", seed=1)
    return folder


@pytest.fixture
def spare(folder: Path, tmp_path: Path) -> Path:
    """A folder with `warm` and a copy, `bad`, to be spoilt."""
    for name in ("warm", "bad"):
        shutil.copytree(folder / "warm", tmp_path / name)
    return tmp_path


def change(path: Path, edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(edit(load_file(path / WEIGHTS)), path / WEIGHTS, metadata={"format": "pt"})


def configure(path: Path, **values: object) -> None:
    config = json.loads((path / CONFIG).read_text()) | values
    (path / CONFIG).write_text(json.dumps(config))


def truncated(path: Path) -> None:
    (path / WEIGHTS).write_bytes((path / WEIGHTS).read_bytes()[:1000])


def not_a_number(path: Path) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        tensors[min(tensors)][0, 0] = float("nan")
        return tensors

    change(path, edit)


def wrong_shape(path: Path) -> None:
    change(path, lambda tensors: tensors | {min(tensors): torch.zeros(3, 3)})


def other_names(path: Path) -> None:
    change(path, lambda tensors: {f"other.{name}": t for name, t in tensors.items()})


def one_missing(path: Path) -> None:
    change(path, lambda tensors: {n: t for n, t in tensors.items() if n != min(tensors)})


def empty(path: Path) -> None:
    change(path, lambda _: {})


def other_base(path: Path) -> None:
    configure(path, base_model_name_or_path="tiiuae/falcon-7b")


def no_lora(path: Path) -> None:
    configure(path, peft_type="PROMPT_TUNING")


def no_json(path: Path) -> None:
    (path / CONFIG).write_text("[]")


def pickle_only(path: Path) -> None:
    (path / WEIGHTS).rename(path / "adapter_model.bin")


REASONS: list[tuple[Callable[[Path], None], str]] = [
    (truncated, "is broken"),
    (not_a_number, "not a number"),
    (wrong_shape, "does not fit"),
    (other_names, "does not fit"),
    (one_missing, "does not fit"),
    (empty, "holds no weights"),
    (other_base, "was made for tiiuae/falcon-7b"),
    (no_lora, "no LoRA adapter"),
    (no_json, "cannot be read"),
    (pickle_only, "only safetensors"),
]


@pytest.mark.parametrize(("spoil", "reason"), REASONS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_broken_adapter_is_refused_and_the_old_one_stays(
    spare: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    decoder = tiny.reference()
    decoder.switch(decoder.stage(adapters.named(spare, "warm")))
    before = written(decoder, 0)
    spoil(spare / "bad")
    with pytest.raises(AdapterRefused, match=reason):
        decoder.switch(decoder.stage(adapters.named(spare, "bad")))
    assert decoder.adapter is not None
    assert decoder.adapter.name == "warm"
    assert written(decoder, 1) == before


def written(decoder: ReferenceDecoder, slot: int) -> list[int]:
    """What is drawn in a slot, greedily."""
    decoder.open(slot, IDS, 0, Draw(0.0, 1.0, 0, 1.0, 0))
    found = [decoder.extend({slot: IDS}, frozenset({slot})).tokens()[slot]]
    return found + [decoder.step([slot]).tokens()[slot] for _ in range(8)]


def test_an_adapter_that_changes_while_it_loads_is_refused(spare: Path) -> None:
    info = adapters.named(spare, "bad")
    change(spare / "bad", lambda tensors: {n: t * 2 for n, t in tensors.items()})
    with pytest.raises(AdapterRefused, match="changed"):
        adapters.check_files(info)


@pytest.mark.parametrize("name", ["../warm", "/etc", "", ".", "warm/../warm", "a\0b", "x" * 5000])
def test_a_name_never_leads_out_of_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(AdapterRefused, match=r"without a path|There is no adapter"):
        adapters.named(folder / "warm" / "..", name if name != "warm/../warm" else "../x")


def test_an_own_adapter_hides_a_shipped_one_and_both_are_found(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "warm", tmp_path / "own" / "warm")
    for name in ("warm", "calm"):
        shutil.copytree(folder / "warm", tmp_path / "shipped" / name)
    shelf = adapters.Shelf(tmp_path / "own", tmp_path / "shipped")
    assert [info.name for info in shelf.all()] == ["calm", "warm"]
    assert shelf.named("warm").path.parent.name == "own"
    assert shelf.named("calm").path.parent.name == "shipped"
    with pytest.raises(AdapterRefused, match="There are: calm, warm"):
        shelf.named("other")
    with pytest.raises(AdapterRefused, match="without a path"):
        shelf.named("../shipped/calm")


def test_a_shelf_without_folders_is_empty_and_says_so(tmp_path: Path) -> None:
    shelf = adapters.Shelf(tmp_path / "own", tmp_path / "shipped")
    assert shelf.all() == []
    with pytest.raises(AdapterRefused, match="There are: none"):
        shelf.named("calm")


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder / "warm")
    with pytest.raises(AdapterRefused, match="without a path"):
        adapters.named(tmp_path, "link")


def test_only_what_can_be_read_is_listed_with_its_hash_and_verdict(spare: Path) -> None:
    (spare / "bad" / "manifest.json").write_text('{"verdict": "no-go"}')
    (spare / "warm" / CONFIG).write_text("{")
    (spare / "nothing").mkdir()
    found = adapters.discover(spare)
    assert [(a.name, len(a.sha256), a.base, a.verdict) for a in found] == [
        ("bad", 64, "tiny/falcon", "no-go")
    ]


@pytest.mark.parametrize(
    ("name", "hub_id"),
    [
        ("tiiuae/Falcon-7B", "tiiuae/falcon-7b"),
        ("/c/hub/models--tiiuae--falcon-7b/snapshots/ab12", "tiiuae/falcon-7b"),
        ("/srv/falcon-7b", None),
        ("./falcon", None),
        ("falcon", None),
    ],
)
def test_a_base_has_one_name(name: str, hub_id: str | None) -> None:
    assert adapters.canonical(name) == hub_id
