"""Advantages, losses, masks and packing against numbers worked out by hand."""

import math
import warnings

import numpy as np
import pytest
import torch

from stepcoder.executor.report import Verdict
from stepcoder.learner.advantages.common import gae, moments, scale, token_rewards, whiten, without_group_mean
from stepcoder.learner.config import FGO, AllCredit, Divergence, RandomCredit
from stepcoder.learner.config.loss import AllTokens, Constant, MaskedTokens, Normalizer, Sequences
from stepcoder.learner.losses.weights import Totals, loss_weights, sampler_correction, value_clip
from stepcoder.learner.masks import credit_mask
from stepcoder.learner.service import deal
from stepcoder.rollout.trajectory import Trajectory


def trajectory(**changes: object) -> Trajectory:
    """Five tokens, of which the tests executed the first, second and last."""
    fields: dict[str, object] = dict(
        ticket=3, sample=1, problem_id="p", level="introductory", stage=0,
        prompt_ids=np.array([1, 2], np.int32), response_ids=np.array([5, 6, 7, 8, 9], np.int32),
        logprobs=np.zeros(5, np.float32), executed=np.array([1, 1, 0, 0, 1], bool), 
        code=np.array([1, 1, 1, 1, 0], bool), token_lines=np.array([1, 1, 2, 3, 0], np.int32), error_line=None,
        reward=-1.0, verdict=Verdict.PASSED,
        finish_reason="eos", weight_version=0, program="",
    )  # fmt: skip
    return Trajectory(**(fields | changes))


def test_reward_comes_on_the_last_token_and_the_penalty_on_every_token():
    rewards = token_rewards(torch.tensor([-0.05, 0.0, 0.1]), 1.0)
    assert rewards.tolist() == pytest.approx([-0.05, 0.0, 1.1])


def test_gae_by_hand():
    # gamma 0.9, lambda 0.5; rewards 0, 0, 1; values 0.2, 0.4, 0.6
    # delta_2 = 1 - 0.6 = 0.4;  delta_1 = 0.9*0.6 - 0.4 = 0.14;  delta_0 = 0.9*0.4 - 0.2 = 0.16
    # A_2 = 0.4;  A_1 = 0.14 + 0.45*0.4 = 0.32;  A_0 = 0.16 + 0.45*0.32 = 0.304
    advantages = gae(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.2, 0.4, 0.6]), 0.9, 0.5)
    assert advantages.tolist() == pytest.approx([0.304, 0.32, 0.4])


def test_gae_with_lambda_one_is_return_less_value():
    values = torch.tensor([0.3, -0.2, 0.9])
    advantages = gae(torch.tensor([0.1, 0.0, 1.0]), values, 1.0, 1.0)
    assert (advantages + values).tolist() == pytest.approx([1.1, 1.0, 1.0])


def test_whitening_uses_the_moments_of_all_ranks():
    # all tokens: 1, 3 here and 5, 7 on another rank: mean 4, deviation sqrt(5)
    total = moments([torch.tensor([1.0, 3.0])]) + moments([torch.tensor([5.0, 7.0])])
    assert whiten(torch.tensor([1.0, 3.0]), total).tolist() == pytest.approx(
        [-3 / math.sqrt(5), -1 / math.sqrt(5)], rel=1e-6
    )


def test_whitening_without_spread_or_tokens_makes_no_nan():
    same = torch.tensor([2.0, 2.0])
    assert whiten(same, moments([same])).tolist() == [0.0, 0.0]
    rounded = torch.full((49,), 0.41)  # the mean of whose squares is rounded to less than the square of the mean
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's, about a complex number: the root of less than nothing
        assert whiten(rounded, moments([rounded])).abs().max() < 1e-6
    assert whiten(same, moments([])).tolist() == [2.0, 2.0]


def test_scaling_keeps_zero_and_signs_and_uses_the_moments_of_all_ranks():
    # all tokens: 0, 3 here and -1, 0 on another rank: mean square 10/4
    total = moments([torch.tensor([0.0, 3.0])]) + moments([torch.tensor([-1.0, 0.0])])
    assert scale(torch.tensor([0.0, 3.0]), total).tolist() == pytest.approx([0, 3 / math.sqrt(2.5)], rel=1e-6)
    same = torch.tensor([2.0, 2.0])
    assert scale(same, moments([same])).tolist() == pytest.approx([1.0, 1.0])
    assert scale(same, moments([])).tolist() == [2.0, 2.0]
    assert scale(torch.zeros(2), moments([torch.zeros(2)])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("size", [2, 3, 7, 16])
def test_equal_rewards_less_the_others_are_exactly_zero(size: int):
    # -0.3 has no exact binary form: sums in single precision leave 1e-8
    assert without_group_mean(torch.full((size,), -0.3), [5] * size).tolist() == [0.0] * size


def test_value_clip_by_hand():
    # return 1, clip 0.2.  old 0.1, value 0.6: held at 0.3, max(0.16, 0.49) = 0.49;  old 0, value 0.1: 0.81, free
    # old 2, value 1.5: held at 1.8, max(0.25, 0.64) = 0.64;  old 0.7, value 0: held at 0.5, max(1, 0.25) = 1
    # the weights are 1/2, 1/4, 1/8 and 0 for a token outside the mask, then 1/8
    values = torch.tensor([0.6, 0.1, 1.5, 9.0, 0.0]).requires_grad_()
    old, weights = torch.tensor([0.1, 0.0, 2.0, 0.0, 0.7]), torch.tensor([0.5, 0.25, 0.125, 0.0, 0.125])
    loss = value_clip(values, old, torch.ones(5), weights, 0.2)
    assert loss.item() == pytest.approx(0.49 / 2 + 0.81 / 4 + 0.64 / 8 + 1 / 8)
    # 2 (value - return) weight where the value itself counts; 0 where the held one does
    (gradient,) = torch.autograd.grad(loss, values)
    assert gradient.tolist() == pytest.approx([0.0, -0.45, 0.0, 0.0, -0.25])
    plain = value_clip(values, old, torch.ones(5), weights, None)
    assert plain.item() == pytest.approx(0.16 / 2 + 0.81 / 4 + 0.25 / 8 + 1 / 8)
    (gradient,) = torch.autograd.grad(plain, values)
    assert gradient.tolist() == pytest.approx([-0.4, -0.45, 0.125, 0.0, -0.25])


@pytest.mark.parametrize(
    ("normalizer", "expected"),
    [
        (MaskedTokens(), [1 / 3, 0, 1 / 3, 1 / 3, 0]),  # three loss tokens
        (AllTokens(), [1 / 5, 0, 1 / 5, 1 / 5, 0]),  # five generated tokens
        (Sequences(), [1 / 2, 0, 1 / 4, 1 / 4, 0]),  # two sequences with loss tokens: one, and two
        (Constant(tokens=10), [1 / 30, 0, 1 / 30, 1 / 30, 0]),  # three completions of ten tokens, whatever their length
    ],
)
def test_normalizers_by_hand(normalizer: Normalizer, expected: list[float]):
    mask = torch.tensor([1, 0, 1, 1, 0]).bool()
    weights = loss_weights(mask, torch.tensor([0, 0, 1, 1, 2]), normalizer, Totals(3, 5, 2, 3))
    assert weights.tolist() == pytest.approx(expected)


def test_an_empty_mask_adds_nothing_and_makes_no_nan():
    for normalizer in (MaskedTokens(), AllTokens(), Sequences(), Constant(tokens=10)):
        weights = loss_weights(torch.zeros(3).bool(), torch.zeros(3).long(), normalizer, Totals(0, 3, 0, 1))
        assert weights.tolist() == [0.0, 0.0, 0.0]
        none = torch.zeros(0).long()  # no rank has a token
        assert loss_weights(none.bool(), none, normalizer, Totals(0, 0, 0, 0)).tolist() == []


def test_fgo_credits_executed_tokens_and_all_credits_every_token():
    t = trajectory()
    assert credit_mask(t, FGO(), step=1, seed=0).tolist() == [True, True, False, False, True]
    assert credit_mask(t, AllCredit(), step=1, seed=0).all()
    # a program that ran into a limit before its first line has no token in the loss, unlike one that did not compile
    stuck = trajectory(verdict=Verdict.TIMEOUT, executed=np.zeros(5, bool))
    assert not credit_mask(stuck, FGO(), step=1, seed=0).any()


def test_random_credit_has_the_count_of_fgo_and_is_drawn_anew_for_every_step_seed_ticket_and_sample():
    executed = np.arange(40) < 13
    places = dict(response_ids=np.arange(40), code=np.ones(40, bool), token_lines=np.ones(40, int), executed=executed)

    def draw(step: int = 1, seed: int = 0, **changes: object) -> tuple[bool, ...]:
        return tuple(credit_mask(trajectory(**(places | changes)), RandomCredit(), step=step, seed=seed).tolist())

    assert draw() == draw()
    masks = [draw(), draw(step=2), draw(seed=1), draw(ticket=4), draw(sample=2), draw(ticket=1, sample=3)]
    assert len(set(masks)) == len(masks)
    assert all(sum(mask) == 13 for mask in masks)
    assert sum(any(mask[i] for mask in masks) for i in range(13, 40)) > 13  # not only where FGO's are
    # of a program that does not compile, as many as the rule for it says: 4 written tokens, 3 of them up to line 2
    broken = trajectory(verdict=Verdict.COMPILE_ERROR, executed=np.zeros(5, bool), error_line=2)
    for rule, count in (("all", 4), ("prefix", 3), ("line", 1), ("none", 0)):
        assert credit_mask(broken, RandomCredit(compile_error=rule), step=1, seed=0).sum() == count


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("all", [True, True, True, True, False]),
        ("prefix", [True, True, True, False, False]),
        ("line", [False, False, True, False, False]),
        ("none", [False, False, False, False, False]),
    ],
)
def test_credit_of_a_program_that_does_not_compile(rule: str, expected: list[bool]):
    broken = trajectory(verdict=Verdict.COMPILE_ERROR, executed=np.zeros(5, bool), error_line=2)
    assert credit_mask(broken, FGO(compile_error=rule), step=1, seed=0).tolist() == expected
    # without a line: all that was written, whichever part of it was wanted; with every token in the loss, every token
    written = [False] * 5 if rule == "none" else [True, True, True, True, False]
    unknown = trajectory(verdict=Verdict.COMPILE_ERROR, executed=np.zeros(5, bool), error_line=None)
    assert credit_mask(unknown, FGO(compile_error=rule), step=1, seed=0).tolist() == written
    assert credit_mask(broken, AllCredit(), step=1, seed=0).all()


def test_divergence_credits_executed_tokens_from_the_first_different_line_on():
    # lines 1, 2, 2, 3 and on no line the decision to stop; line 3 was not executed
    t = trajectory(token_lines=np.array([1, 2, 2, 3, 0]), executed=np.array([1, 1, 1, 0, 1], bool))

    def credit(divergence: int | None, **changes: object) -> list[bool]:
        t = trajectory(**({"token_lines": np.array([1, 2, 2, 3, 0]), "executed": np.array([1, 1, 1, 0, 1], bool)}
                          | changes), divergence=divergence)  # fmt: skip
        return credit_mask(t, Divergence(), step=1, seed=0).tolist()

    assert credit(2) == [False, True, True, False, True]
    assert credit(None) == credit(1) == credit_mask(t, FGO(), step=1, seed=0).tolist()
    # where nothing would be left, all that ran
    assert credit(3, executed=np.array([1, 1, 1, 0, 0], bool)) == [True, True, True, False, False]
    broken = dict(verdict=Verdict.COMPILE_ERROR, executed=np.zeros(5, bool), error_line=2)
    assert credit(None, **broken) == credit_mask(trajectory(**broken), FGO(), step=1, seed=0).tolist()


@pytest.mark.parametrize("rule", [FGO, AllCredit, RandomCredit, Divergence])
def test_a_completion_that_was_cut_off_takes_no_loss_if_so_configured(rule: type[FGO | AllCredit]):
    whole, cut = trajectory(), trajectory(finish_reason="length")
    assert credit_mask(cut, rule(), step=1, seed=0).sum() == credit_mask(whole, rule(), step=1, seed=0).sum() > 0
    assert not credit_mask(cut, rule(truncated=False), step=1, seed=0).any()
    assert credit_mask(whole, rule(truncated=False), step=1, seed=0).any()


@pytest.mark.parametrize("rule", ["prefix", "line"])
def test_the_closing_fence_behind_an_error_is_not_blamed(rule: str):
    # two lines, the closing fence and the end token, which are on no line; the error is on line 1, then on line 2
    places = dict(
        verdict=Verdict.COMPILE_ERROR, executed=np.array([0, 0, 0, 1, 1], bool), code=np.ones(5, bool),
        token_lines=np.array([1, 1, 2, 0, 0], np.int32),
    )  # fmt: skip
    found = {
        line: credit_mask(trajectory(**places, error_line=line), FGO(compile_error=rule), step=1, seed=0).tolist()
        for line in (1, 2, 7)
    }
    assert found[1] == [True, True, False, False, False]
    assert found[2] == ([True, True, True, False, False] if rule == "prefix" else [False, False, True, False, False])
    # line 7 is not one that was written: the program ended too early, say; then everything counts but for `prefix`
    assert found[7] == ([True, True, True, False, False] if rule == "prefix" else [True] * 5)
    places["token_lines"][3] = 2  # one token of the last line's end and the fence
    mask = credit_mask(trajectory(**places, error_line=2), FGO(compile_error=rule), step=1, seed=0)
    assert mask.tolist() == found[2]
    stopped = places | dict(token_lines=np.array([0, 0, 0, 0, 0], np.int32))  # nothing written but the fence
    mask = credit_mask(trajectory(**stopped, error_line=1), FGO(compile_error=rule), step=1, seed=0)
    assert mask.all()


def test_coverage_that_cannot_be_trusted_leaves_every_written_token_in_the_loss():
    forged = trajectory(executed=np.zeros(5, bool), coverage_trusted=False)
    for credit in (FGO(), RandomCredit()):
        mask = credit_mask(forged, credit, step=1, seed=0)
        assert mask.sum() == 4
        assert credit.type == "random" or mask.tolist() == [True, True, True, True, False]
    broken = trajectory(verdict=Verdict.COMPILE_ERROR, error_line=1, coverage_trusted=False, executed=np.zeros(5, bool))
    assert credit_mask(broken, FGO(compile_error="line"), step=1, seed=0).tolist() == [True, True, False, False, False]


def test_groups_are_dealt_evenly_over_ranks():
    shares = deal([10, 1, 1, 8, 2, 2], 2)
    assert sorted(i for share in shares for i in share) == list(range(6))
    assert shares == [[0, 5], [1, 2, 3, 4]]  # 10 + 2 and 1 + 1 + 8 + 2 tokens


def test_importance_weights_by_hand():
    # learner over sampler: e^0.5 = 1.6487, e^-1 = 0.3679, e^2 = 7.39 held at 2
    weights = sampler_correction(torch.tensor([-1.0, -2.0, -1.0]), torch.tensor([-1.5, -1.0, -3.0]), 2.0)
    assert weights.tolist() == pytest.approx([1.6487, 0.3679, 2.0], abs=1e-4)
    assert sampler_correction(torch.zeros(2), torch.ones(2), None).tolist() == [1.0, 1.0]


def test_importance_limits_leave_tokens_out():
    # ratios e^0.5 = 1.6487, e^-1 = 0.3679, e^2 = 7.39; limits 0.5 and 5, cap 1.5
    old, sampler = torch.tensor([-1.0, -2.0, -1.0]), torch.tensor([-1.5, -1.0, -3.0])
    assert sampler_correction(old, sampler, 1.5, 0.5, 5.0).tolist() == [1.5, 0.0, 0.0]
    assert sampler_correction(old, sampler, None, 0.5, None).tolist() == [1.0, 0.0, 1.0]
    assert sampler_correction(old, sampler, 2.0, None, 5.0).tolist() == pytest.approx([1.6487, 0.3679, 0.0], abs=1e-4)


def test_group_baseline_leaves_one_out():
    # group 7: 1, 0, -1 -> 1 - (0 - 1)/2 = 1.5, 0 - 0 = 0, -1 - 0.5 = -1.5; group 9 has one member and keeps its reward
    rewards = without_group_mean(torch.tensor([1.0, 0.5, 0.0, -1.0]), [7, 9, 7, 7])
    assert rewards.tolist() == pytest.approx([1.5, 0.5, 0.0, -1.5])
    assert without_group_mean(torch.full((4,), -0.3), [1, 1, 1, 1]).abs().max() < 1e-6
