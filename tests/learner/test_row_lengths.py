"""Under autocast on a CPU products are filled up to few lengths, which changes no answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepcoder.learner.networks import attention, logprobs, models
from stepcoder.learner.networks.models import load_policy
from stepcoder.learner.packing import Piece, pack
from tests.tools.tiny_model import build_tiny_model

PIECES = [Piece([5, 6, 7, 8, 9], (([11, 12, 13], 0), ([14] * 9, 3))), Piece([3, 4], (([21] * 5, 12),))]


@pytest.mark.parametrize("autocast", [False, True])
def test_products_meet_few_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autocast: bool) -> None:
    (row,) = pack(PIECES, 64)
    inputs = (row.input_ids, row.position_ids, row.layout, row.select, row.targets)
    policy = load_policy(build_tiny_model(tmp_path), torch.float32, 1, autocast=autocast)
    seen = set[int]()
    for layer in policy.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_pre_hook(lambda _, given: seen.add(given[0].shape[-2]))
    lengths, attend = set[int](), F.scaled_dot_product_attention

    def watched(q: torch.Tensor, k: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        lengths.update({q.shape[-2], k.shape[-2]})
        return attend(q, k, *args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    policy(*inputs)
    assert all(n % 32 == 0 for n in lengths) is autocast
    assert seen == ({32} if autocast else {row.input_ids.shape[1], len(row.targets)})


def test_a_fill_changes_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp32, where it is not used: the rounding of autocast would hide a mistake."""
    (row,) = pack(PIECES, 64)
    inputs = (row.input_ids, row.position_ids, row.layout, row.select, row.targets)
    policy = load_policy(build_tiny_model(tmp_path), torch.float32, 1)
    found = [
        _scores_and_gradients(policy, inputs, monkeypatch, idle) for idle in (lambda n, _: -n % 32, lambda n, _: 0)
    ]
    scale = max(float(g.abs().max()) for g in found[0])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5 * scale)


def _scores_and_gradients(
    policy: nn.Module, inputs: Any, monkeypatch: pytest.MonkeyPatch, idle_tokens: Callable[[int, Any], int]
) -> list[torch.Tensor]:
    for module in (attention, logprobs, models):
        monkeypatch.setattr(module, "idle_tokens", idle_tokens)
    policy.zero_grad()
    scores, entropies = policy(*inputs)
    scores.sum().backward()
    return [scores.detach(), entropies, *(p.grad.clone() for p in policy.parameters() if p.grad is not None)]
