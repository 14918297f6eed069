"""How the reference engine truncates and draws, by hand."""

from typing import Any

import pytest
import torch

from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engine import Sampling
from stepcoder.rollout.transformers_engine import draw, truncated

P = torch.tensor([0.125, 0.5, 0.25, 0.125])


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (0, 1.0, [0.125, 0.5, 0.25, 0.125]),
        (2, 1.0, [0.0, 0.5, 0.25, 0.0]),
        (0, 0.5, [0.0, 0.5, 0.0, 0.0]),
        (0, 0.51, [0.0, 0.5, 0.25, 0.0]),
        (0, 1e-9, [0.0, 0.5, 0.0, 0.0]),
        (2, 0.6, [0.0, 0.5, 0.0, 0.0]),  # 0.5 of the 0.75 that two hold is more than 0.6 of them
        (9, 0.9, [0.125, 0.5, 0.25, 0.125]),
    ],
)
def test_truncated(top_k: int, top_p: float, kept: list[float]) -> None:
    assert truncated(P, top_k, top_p).tolist() == kept


def test_draws_in_proportion_and_reports_the_whole_distribution() -> None:
    random = torch.Generator().manual_seed(0)
    drawn = [draw(P.log() / 2, Sampling(0.5, top_k=3), random) for _ in range(2000)]
    tokens = [token for token, _ in drawn]
    assert set(tokens) == {0, 1, 2} and abs(tokens.count(1) / 2000 - 0.5 / 0.875) < 0.04
    assert all(logprob == pytest.approx(P[token].log().item(), abs=1e-5) for token, logprob in drawn)
    token, logprob = draw(P.log(), Sampling(0.0), random)
    assert (token, logprob) == (1, pytest.approx(-0.693147, abs=1e-5))


@pytest.mark.parametrize("setting", [{"tensor_parallel": 2}, {"max_num_seqs": 4}, {"enforce_eager": False}])
def test_it_refuses_what_it_does_not_read(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs rollout.engine vllm"):
        RolloutConfig(engine="transformers", **setting)


def test_what_it_does_not_read_is_no_part_of_its_settings() -> None:
    kept = RolloutConfig(engine="transformers").model_dump()
    assert RolloutConfig.model_validate(kept).model_dump() == kept
    assert "max_model_len" in kept and "max_num_seqs" not in kept
