"""A recipe says exactly what is meant, or says which option was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from training import recipe as recipes
from training.errors import RecipeError


@pytest.mark.parametrize("name", recipes.PRESETS)
def test_every_preset_builds(name: str) -> None:
    assert recipes.build(recipes.preset(name)).name == name


def test_the_original_preset_is_the_seeds_recipe_to_the_letter() -> None:
    made = recipes.build(recipes.preset("original"))
    assert (made.fit.steps, made.fit.batch, made.fit.rate) == (100, 64, 2e-4)
    assert (made.fit.schedule, made.fit.warmup, made.fit.clip) == ("cosine", 0.03, 0.3)
    assert made.fit.optimiser == "paged_adamw_32bit"
    assert (made.lora.rank, made.lora.alpha, made.lora.dropout) == (32, 32, 0.05)
    assert made.lora.targets == ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
    assert made.data.held_out == 0
    assert "emorises" in made.note


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("fit.stepz=3", "`fit.steps`"),
        ("lora.rnak=3", "`lora.rank`"),
        ("steps=3", "`fit.steps`"),
        ("warmup_ratio=0.1", "`fit.warmup`"),
        ("fit.max_seq_length=3", "`data.max_length`"),
        ("group_by_length=true", "`fit.batching=length`"),
    ],
)
def test_an_unknown_option_is_an_error_that_names_the_right_one(word: str, hint: str) -> None:
    with pytest.raises(RecipeError, match="There is no option") as error:
        recipes.build({}, [word])
    assert hint in str(error.value)


@pytest.mark.parametrize(
    "word",
    ["fit.steps=many", "fit.steps=0", "fit.steps=true", "lora.dropout=1.5", "fit.schedule=sine",
     "fit=3", "data.sources=[]", "fit.micro_batch=none", "name=a/b", "steps"],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused(word: str) -> None:
    with pytest.raises(RecipeError):
        recipes.build({}, [word])


def test_a_recipe_stands_on_the_preset_it_names_and_the_command_line_stands_above(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("preset: demo\nname: mine\nfit: {steps: 7, rate: 2e-4}\n")
    made = recipes.build(recipes.load(path), ["fit.steps=9", "data.sources=[a.jsonl]"])
    assert (made.name, made.fit.steps, made.fit.rate, made.model.base) == ("mine", 9, 2e-4, "demo")
    assert [source.path for source in made.data.sources] == ["a.jsonl"]


@pytest.mark.parametrize("text", ["fit: [", "- 1", "\x00"])
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"The recipe .*mine\.yaml"):
        recipes.load(path)


def test_a_recipe_survives_its_own_manifest() -> None:
    made = recipes.build(recipes.preset("default"))
    assert recipes.build(made.as_dict()) == made
