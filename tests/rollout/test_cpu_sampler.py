"""The CPU sampler draws from exactly the distribution that vLLM's truncation leaves, and reports the whole one."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

from stepcoder.rollout.vllm.cpu_sampler import InverseSampler, draw, invert, largest

POINTS = 1_000


def test_by_hand() -> None:
    # cumulative 0.2, 0.2, 0.7, 1.0: 0.2 itself is above the first entry, and the second has no width
    p = torch.tensor([[0.2, 0.0, 0.5, 0.3]]).expand(5, 4)
    drawn = invert(p, torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71], dtype=torch.float64))
    assert drawn.tolist() == [0, 0, 2, 2, 3]


@pytest.mark.parametrize("vocabulary", [3, 64, 300])
def test_every_token_has_its_share_of_the_unit_interval(vocabulary: int) -> None:
    random = torch.Generator().manual_seed(vocabulary)
    p = torch.softmax(3 * torch.randn(1, vocabulary, generator=random), -1)
    p[0, 1] = 0.0
    points = 200_000
    uniform = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    drawn = torch.cat([invert(p.expand(len(part), vocabulary), part) for part in uniform.split(20_000)])
    counts = torch.bincount(drawn, minlength=vocabulary)
    expected = points * p[0].double() / p[0].double().sum()
    assert (counts - expected).abs().max() <= 1.01  # an interval of width w holds w points, give or take one
    assert counts[1] == 0


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2.0**-53])
@pytest.mark.parametrize("at", [0, 63, 64, 199])
def test_the_ends_of_the_interval_draw_no_impossible_token(uniform: float, at: int) -> None:
    p = torch.zeros(1, 200)
    p[0, at] = 1e-30
    assert invert(p, torch.tensor([uniform], dtype=torch.float64)).item() == at


@pytest.mark.parametrize("n", [1, 3, 16, 100, 640])
@pytest.mark.parametrize("kind", ["normal", "many equal", "neighbours", "impossible"])
def test_the_largest_are_those_of_a_whole_sort(n: int, kind: str) -> None:
    rows = torch.randn(7, 640, generator=torch.Generator().manual_seed(n))
    if kind == "many equal":
        rows = rows.round()
    elif kind == "neighbours":  # all of one group, which is every twentieth
        rows[:, 3::20] += 50
    elif kind == "impossible":
        rows[:, 1:] = -torch.inf
    values, ids = largest(rows, n)
    assert torch.equal(values, rows.sort(-1, descending=True).values[:, :n])
    assert torch.equal(rows.gather(1, ids), values)
    assert all(len(set(row)) == n for row in ids.tolist())


# -- truncation, against vLLM's own function -------------------------------------------------------------------------


def counts(logits: Tensor, k: int | None, p: float | None) -> Tensor:
    """How many of POINTS even points of the unit interval draw each token of one row of logits."""
    uniform = (torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS
    rows = logits.expand(len(uniform), -1)
    top_k = None if k is None else torch.full((len(rows),), k, dtype=torch.int32)
    top_p = None if p is None else torch.full((len(rows),), p)
    drawn = draw(rows, rows.softmax(-1), uniform, top_k, top_p)
    return torch.bincount(drawn, minlength=logits.shape[-1])


def check(logits: Tensor, k: int | None, p: float | None) -> None:
    """What is drawn has vLLM's truncated distribution; which of equal logits are kept, vLLM's sort leaves open."""
    top_k = None if k is None else torch.tensor([k])
    top_p = None if p is None else torch.tensor([p])
    expected = apply_top_k_top_p(logits[None].clone(), top_k, top_p).double().softmax(-1)[0]
    found = counts(logits, k, p)
    values, group = logits.unique(return_inverse=True)

    def together(numbers: Tensor) -> Tensor:
        """Of a group of equals, all that is defined is how much they hold together."""
        return torch.zeros(len(values), dtype=torch.float64).index_add_(0, group, numbers.double())

    share, kept, drawn = POINTS * together(expected), together(expected > 0), together(found > 0)
    wrong = (together(found) - share).abs() > 3 + 2e-3 * POINTS
    assert not wrong.any(), (k, p, values[wrong])
    assert (drawn <= kept).all()
    many = share > 2 * kept
    assert drawn[many].equal(kept[many])


FLAT, ONE, FEW = torch.zeros(400), torch.full((400,), -50.0), torch.full((400,), -torch.inf)
ONE[7] = 50.0
FEW[[3, 200, 399]] = torch.tensor([0.5, -1.0, 2.0])
TIED = torch.tensor([3.0] * 4 + [2.0] * 300 + [1.0] * 96)
RANDOM = 2 * torch.randn(400, generator=torch.Generator().manual_seed(1))
BF16 = (3 * torch.randn(400, generator=torch.Generator().manual_seed(2))).bfloat16().float()


@pytest.mark.parametrize("logits", [FLAT, ONE, FEW, TIED, RANDOM, BF16, RANDOM[:5]], ids=range(7))
# no p at which the sum of equal probabilities meets it but for rounding: what is kept there, rounding decides
@pytest.mark.parametrize("p", [None, 1e-9, 0.0123, 0.4321, 0.9503, 0.9999, 1.0])
@pytest.mark.parametrize("k", [None, 1, 2, 5, 63, 64, 65, 302, 400])
def test_draws_from_what_vllm_keeps(logits: Tensor, k: int | None, p: float | None) -> None:
    check(logits, None if k is None else min(k, len(logits)), p)


@pytest.mark.parametrize("seed", range(40))
def test_draws_from_what_vllm_keeps_of_random_logits(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)

    def number(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=random))

    logits = number(0.1, 12) * torch.randn(int(number(2, 3000)), generator=random)
    if seed % 3 == 0:
        logits = (logits * 2).round() / 2  # many equals
    if seed % 4 == 0:
        logits[torch.rand(len(logits), generator=random) < 0.3] = -torch.inf
        logits[0] = 0.0
    check(logits, int(number(1, len(logits))) if seed % 2 else None, number(0.01, 0.999))


def test_rows_with_and_without_truncation_are_drawn_as_each_alone() -> None:
    random = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(30, 700, generator=random)
    k = torch.tensor([700, 5, 700, 40, 700] * 6, dtype=torch.int32)
    p = torch.tensor([1.0, 0.9, 0.3, 1.0, 0.999, 1.0] * 5)
    uniform = torch.rand(30, dtype=torch.float64, generator=random)
    together = draw(logits, logits.softmax(-1), uniform, k, p)
    for row in range(30):
        one = slice(row, row + 1)
        assert together[one].equal(draw(logits[one], logits[one].softmax(-1), uniform[one], k[one], p[one]))


# -- as vLLM calls it ------------------------------------------------------------------------------------------------


def sample(logits: Tensor, temperature: list[float], seeds: dict[int, int], **truncation: Any) -> tuple[Tensor, Tensor]:
    """Tokens and log-probabilities, with the fields that vLLM's metadata has when only these settings are used."""
    greedy = [t == 0.0 for t in temperature]
    metadata = SimpleNamespace(
        temperature=None if all(greedy) else torch.tensor(temperature),
        all_greedy=all(greedy),
        all_random=not any(greedy),
        generators={row: torch.Generator().manual_seed(seed) for row, seed in seeds.items()},
        max_num_logprobs=0,
        logprob_token_ids=None,
        top_k=truncation.get("k"),
        top_p=truncation.get("p"),
        allowed_token_ids_mask=None,
        bad_words_token_ids={},
        no_penalties=True,
        output_token_ids=[],
        logitsprocs=SimpleNamespace(non_argmax_invariant=[], argmax_invariant=[]),
        thinking_budget_state_holder=None,
    )
    output = InverseSampler()(logits.clone(), metadata)  # type: ignore[arg-type]
    assert output.logprobs_tensors is not None
    assert output.logprobs_tensors.logprob_token_ids.equal(output.sampled_token_ids)
    return output.sampled_token_ids[:, 0], output.logprobs_tensors.logprobs[:, 0]


def test_log_probabilities_are_those_of_the_whole_distribution_after_temperature() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).repeat(50, 1)
    cut: dict[str, Any] = {"k": torch.full((50,), 2, dtype=torch.int32), "p": torch.full((50,), 0.95)}
    tokens, logprobs = sample(logits, [0.5] * 50, {}, **cut)
    # exp(4), exp(2), 1, exp(-2) by their sum, 63.1226
    assert set(tokens.tolist()) <= {0, 1}
    expected = torch.tensor([-0.145077, -2.145077])[tokens]
    assert logprobs.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_request_s_tokens_depend_on_its_own_seed_alone() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).repeat(6, 1)
    for cut in ({}, {"k": torch.full((6,), 2, dtype=torch.int32)}):
        alone = [int(sample(logits, [1.0] * 6, {0: seed}, **cut)[0][0]) for seed in range(40)]
        beside = [int(sample(logits, [1.0] * 6, {3: seed, 5: 1}, **cut)[0][3]) for seed in range(40)]
        assert alone == beside
        assert 15 <= alone.count(0) <= 38


def test_greedy_rows_take_the_most_likely_token_beside_sampled_ones() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [0.0, 0.0, 60.0], [5.0, 0.0, 1.0]])
    tokens, logprobs = sample(logits, [0.0, 2.0, 0.0], {})
    assert tokens.tolist() == [1, 2, 0]
    assert logprobs[0].item() == pytest.approx(-0.169846, abs=1e-5)  # 3 - log(1 + e^3 + e)
    assert sample(logits[:1], [0.0], {})[0].tolist() == [1]
