"""Taught is the reply alone, after the prompt exactly as it is served, and it always ends."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.prompt import PromptBuilder
from model.types import Turn
from tests.model import tiny
from tests.training import small
from training.batches import IGNORED, block_mask, micro_batches, packed, padded, step_examples
from training.data.dialogue import Dialogue
from training.examples import Example, encode, joined

TOKENIZER = tiny.tokenizer()
BUILDER = PromptBuilder(TOKENIZER)


def dialogue(*texts: str) -> Dialogue:
    turns = [Turn("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)]
    return Dialogue("1", "s", tuple(turns), "g")


def test_the_prompt_is_what_is_served_and_the_completion_begins_with_a_blank() -> None:
    (one,) = encode([dialogue("Hi", "Hello.")], TOKENIZER, 96).examples
    assert list(one.ids[: one.start]) == BUILDER.ids([Turn("user", "Hi")])
    assert TOKENIZER.decode(one.ids[one.start :]) == " Hello.<|endoftext|>"


def test_every_reply_of_a_dialogue_is_taught_with_what_came_before_it() -> None:
    found = encode([dialogue("a", "One.", "b", "Two.")], TOKENIZER, 96).examples
    assert [TOKENIZER.decode(one.ids) for one in found] == [
        "<HUMAN>: a\n<ASSISTANT>: One.<|endoftext|>",
        "<HUMAN>: a\n<ASSISTANT>: One.\n<HUMAN>: b\n<ASSISTANT>: Two.<|endoftext|>",
    ]
    assert len(encode([dialogue("a", "One.", "b", "Two.")], TOKENIZER, 96, "last").examples) == 1


LONG_TALK = dialogue("a", "One.", "b", "Two, so.", "c", "Three.")


def test_replies_that_share_a_row_are_taught_the_same_tokens_after_the_same_tokens() -> None:
    apart = encode([LONG_TALK, dialogue("d", "Four.")], TOKENIZER, 256).examples
    rows = joined(apart)
    assert [row.taught for row in rows] == [sum(e.taught for e in apart[:3]), apart[3].taught]
    assert sum(map(len, rows)) < sum(map(len, apart))
    seen = {(row.ids[:at], tokens) for row in rows for at, tokens in row.targets}
    assert seen == {(one.ids[: one.start], one.ids[one.start :]) for one in apart}


def test_replies_in_one_row_have_the_losses_that_they_have_apart() -> None:
    _, _, gradients = small.taught_falcon()
    apart = encode([LONG_TALK, dialogue("d", "Four.")], TOKENIZER, 256).examples
    rows = joined(apart)
    with torch.no_grad():
        alone = torch.cat([gradients.losses(padded(apart, [n])) for n in range(len(apart))])
        together = [
            torch.cat([gradients.losses(padded(rows, [n])) for n in range(len(rows))]),
            gradients.losses(packed(rows, [[0, 1]])),
        ]
    assert all(torch.allclose(alone, one, atol=1e-4) for one in together)


def test_what_was_cut_is_not_joined() -> None:
    talk = dialogue("old " * 30, "One.", "old " * 30, "Two.", "new", "Three.")
    apart = encode([talk], TOKENIZER, 96).examples
    assert len(joined(apart)) > 1
    assert sum(row.taught for row in joined(apart)) == sum(one.taught for one in apart)


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300), st.integers(48, 120))
def test_whatever_is_cut_a_reply_ends_with_eos_and_fits(ask: str, reply: str, most: int) -> None:
    (one,) = encode([dialogue(ask, reply)], TOKENIZER, most).examples
    assert len(one.ids) <= most
    assert one.ids[-1] == TOKENIZER.eos_token_id
    assert 0 < one.start < len(one.ids)


def test_a_long_prompt_loses_its_old_end_and_never_the_reply() -> None:
    found = encode([dialogue("old " * 80 + "new", "Short reply.")], TOKENIZER, 96)
    text = TOKENIZER.decode(found.examples[0].ids)
    assert text.endswith("new\n<ASSISTANT>: Short reply.<|endoftext|>")
    assert (found.prompts_cut, found.replies_cut) == (1, 0)


def test_a_long_reply_ends_at_a_sentence() -> None:
    found = encode([dialogue("Hi", "First one. " + "Second goes on " * 20 + "end.")], TOKENIZER, 96)
    assert TOKENIZER.decode(found.examples[0].ids).endswith(" First one.<|endoftext|>")
    assert found.replies_cut == 1


def test_every_step_has_a_whole_batch_and_every_example_is_seen_as_often_give_or_take_one() -> None:
    seen: Counter[int] = Counter()
    for step in range(100):
        chosen = step_examples(step, 64, 172, 42)
        assert len(chosen) == 64
        seen.update(chosen)
    assert sum(seen.values()) == 6400
    assert set(seen) == set(range(172))
    assert set(seen.values()) == {6400 // 172, 6400 // 172 + 1}


def test_a_step_depends_on_its_number_alone() -> None:
    assert step_examples(7, 6, 10, 3) == step_examples(7, 6, 10, 3)
    assert step_examples(7, 6, 10, 3) != step_examples(7, 6, 10, 4)


@pytest.mark.parametrize("batching", ["length", "packed", "padded"])
@given(st.integers(1, 12), st.integers(20, 400), st.integers(0, 99))
def test_micro_batches_hold_every_taught_token_once(
    batching: str, count: int, tokens: int, seed: int
) -> None:
    found = small.examples(count, seed)
    batches = list(micro_batches(found, range(count), tokens, batching))  # type: ignore[arg-type]
    taught = [token for one in found for token in one.ids[one.start :]]
    labels = [t for b in batches for t in b.labels[b.labels != IGNORED].tolist()]
    assert sorted(labels) == sorted(taught)
    assert sorted(i for b in batches for i in b.examples) == list(range(count))


def test_length_grouping_computes_less_padding_than_the_order_drawn() -> None:
    found, chosen = small.examples(64), range(64)
    length, drawn = (
        sum(b.tokens for b in micro_batches(found, chosen, 480, how))
        for how in ("length", "padded")
    )
    assert length < drawn


def test_a_packed_token_sees_its_own_sample_and_no_padding() -> None:
    pair = [Example((5, 6, 7), 1, "a", (), ""), Example((8, 9), 1, "b", (), "")]
    batch = packed(pair, [[0, 1]])
    assert batch.positions is not None
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1]]
    assert batch.segments is not None
    mask = block_mask(batch.segments)[0, 0]
    assert torch.equal(mask[3], torch.tensor([False, False, False, True, False]))
    assert torch.equal(mask[2], torch.tensor([True, True, True, False, False]))
