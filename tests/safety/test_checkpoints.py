"""MPNet, named and numbered as BERT, gives what transformers' own MPNet gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import MPNetConfig, MPNetModel

from bot.safety.checkpoints import published
from bot.safety.encoder import Encoder, Tokens
from training.safety.net import Net, Shape, batch

WIDTH = 24
# [CLS] ... [SEP] ... [SEP]; theirs are the same words by MPNet's own numbers.
BERT = (101, 7, 30, 102, *range(40, 90), 102)
MPNET = [0, 11, 34, 2, *range(44, 94), 2]


@pytest.fixture
def mpnet() -> MPNetModel:
    torch.manual_seed(3)
    shape = MPNetConfig(
        vocab_size=140, hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=12,
        intermediate_size=48, max_position_embeddings=80,
    )  # fmt: skip
    model = MPNetModel(shape, add_pooling_layer=False).eval()
    with torch.no_grad():  # what is far apart must make a difference
        model.encoder.relative_attention_bias.weight.normal_(0, 2.0)
    return model


@pytest.fixture
def weights(mpnet: MPNetModel, tmp_path: Path) -> dict[str, Tensor]:
    file = tmp_path / "model.safetensors"
    save_file({name: t.contiguous() for name, t in mpnet.state_dict().items()}, file)
    return published(file)


def wanted(mpnet: MPNetModel, start: int) -> Tensor:
    with torch.inference_mode():
        hidden = mpnet(torch.tensor([MPNET])).last_hidden_state[0, start:]
    return torch.cat([hidden.mean(0), hidden.amax(0)])


@pytest.mark.parametrize("start", [0, 4])
def test_as_it_is_served(mpnet: MPNetModel, weights: dict[str, Tensor], start: int) -> None:
    with torch.inference_mode():
        found = Encoder(weights).pooled(Tokens(BERT, start))
    assert torch.allclose(found, wanted(mpnet, start), atol=1e-5)


def test_as_it_learns_beside_longer_texts(mpnet: MPNetModel, weights: dict[str, Tensor]) -> None:
    net = Net(weights, Shape(rank=2)).eval()
    seen: list[Tensor] = []
    net.first.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    texts = [Tokens(BERT, 4), Tokens((*BERT, *BERT[1:20]))]
    with torch.inference_mode():
        net(*batch(texts))
    assert torch.allclose(seen[0][0], wanted(mpnet, 4), atol=1e-5)
