"""Under autocast on a CPU products are filled up to few lengths, which changes no answer."""

from pathlib import Path

import pytest
import torch
from torch import nn

from stepcoder.learner.networks import logprobs, models
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
    filled = policy(*inputs)
    assert seen == ({32} if autocast else {row.input_ids.shape[1], len(row.targets)})
    filled[0].sum().backward()
    gradients = [p.grad.clone() for p in policy.parameters() if p.grad is not None]
    policy.zero_grad()
    for module in (logprobs, models):
        monkeypatch.setattr(module, "idle_tokens", lambda tokens, device: 0)
    plain = policy(*inputs)
    plain[0].sum().backward()
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if autocast else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(filled, plain, **tolerance)
    torch.testing.assert_close(gradients, [p.grad for p in policy.parameters() if p.grad is not None], **tolerance)
