"""The CPU sampler draws from exactly the distribution that it reports."""

import pytest
import torch

from rollout.cpu_sampler import InverseSampler, invert


def test_by_hand() -> None:
    # cumulative 0.2, 0.2, 0.7, 1.0: 0.2 itself is above the first entry, and the second has no width
    p = torch.tensor([[0.2, 0.0, 0.5, 0.3]]).expand(5, 4)
    drawn = invert(p, torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71], dtype=torch.float64))
    assert drawn.tolist() == [0, 0, 2, 2, 3]


@pytest.mark.parametrize("vocabulary", [3, 64, 300])
def test_every_token_has_its_share_of_the_unit_interval(vocabulary: int) -> None:
    draw = torch.Generator().manual_seed(vocabulary)
    p = torch.softmax(3 * torch.randn(1, vocabulary, generator=draw), -1)
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


def test_reports_the_truncated_distribution_and_draws_by_each_request_s_own_seed() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).repeat(6, 1)
    k = torch.full((6,), 2, dtype=torch.int32)
    sampler = InverseSampler()

    def draw(seeds: dict[int, int]) -> tuple[list[int], torch.Tensor]:
        generators = {row: torch.Generator().manual_seed(seed) for row, seed in seeds.items()}
        tokens, log_p = sampler(logits.clone(), generators, k, None)
        return tokens.tolist(), log_p

    _, log_p = draw({})
    assert log_p[0, :2].exp().tolist() == pytest.approx([0.731059, 0.268941], abs=1e-6)  # 1 / (1 + exp(-1))
    assert log_p[0, 2:].tolist() == [-torch.inf, -torch.inf]
    alone = [draw({0: seed})[0][0] for seed in range(40)]
    beside = [draw({3: seed, 5: 1})[0][3] for seed in range(40)]
    assert alone == beside, "a request's tokens depend on its own seed alone"
    assert 20 <= alone.count(0) <= 38 and set(alone) == {0, 1}
