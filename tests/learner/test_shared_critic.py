"""A critic on the policy's trunk, on tiny real models: exact against plain computations."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from stepcoder.learner.advantages.common import gae, token_rewards
from stepcoder.learner.config import (
    GAE,
    AllCredit,
    LearnerLogprobs,
    NoKL,
    OptimizerConfig,
    SharedCritic,
)
from tests.tools.learner import SHARED, full_weights, learner_config, loaded, make_groups, make_rank, plain_ppo

DETACHED = GAE(critic=SharedCritic(detach=True))


# -- a critic on the policy's trunk ----------------------------------------------------------------------------------

# One row, so that sums are in the same order; gradients as they are, since the head's would count in their norm.
WHOLE = dict(
    kl=NoKL(),
    credit=AllCredit(),
    old_logprobs=LearnerLogprobs(importance_cap=None),
    policy=OptimizerConfig(lr=1e-2, max_grad_norm=1e9),
    token_budget=1024,
    logprob_chunk=1024,
)


@pytest.mark.parametrize("detach", [False, True], ids=["through", "detached"])
def test_a_shared_trunk_is_one_loss_of_one_network(model: Path, detach: bool):
    """Against a plain model with a linear head on its last hidden state, and one AdamW for both."""
    torch.manual_seed(1)
    rank = make_rank(model, learner_config(advantage=GAE(critic=SharedCritic(detach=detach)), **WHOLE))
    start = loaded(model)
    causal = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="sdpa")
    head = torch.nn.Linear(causal.config.hidden_size, 1)
    rank._network.value_head.linear.load_state_dict(head.state_dict())
    groups = make_groups()
    flat = [t for group in groups for t in group]
    lengths, rewards = [len(t.response_ids) for t in flat], [t.reward for t in flat]

    seen = []
    handle = causal.lm_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    parts = []
    for t in flat:
        ids = torch.tensor([*t.prompt_ids, *t.response_ids]).long()[None]
        scored = torch.log_softmax(causal(ids).logits[0, len(t.prompt_ids) - 1 : -1], -1)
        parts.append(scored.gather(1, torch.tensor(t.response_ids).long()[:, None])[:, 0])
    handle.remove()
    hidden = torch.cat([h[0, len(t.prompt_ids) - 1 : -1] for h, t in zip(seen, flat, strict=True)])
    values = head(hidden.detach() if detach else hidden)[:, 0]
    old = values.detach()
    policy_loss, _ = plain_ppo(torch.cat(parts), old, rewards, lengths)
    advantages = [
        gae(token_rewards(torch.zeros(len(v)), r), v, 1.0, 0.95)
        for v, r in zip(old.split(lengths), rewards, strict=True)
    ]
    value_loss = (values - (torch.cat(advantages) + old)).square().mean()
    adam = torch.optim.AdamW([*causal.parameters(), *head.parameters()], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    (policy_loss + 0.5 * value_loss).backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in (*causal.parameters(), *head.parameters())])
    adam.step()

    metrics = rank.step(1, *groups)
    assert metrics["policy/loss"] == pytest.approx(policy_loss.item(), rel=1e-4, abs=1e-6)
    assert metrics["value/loss"] == pytest.approx(value_loss.item(), rel=1e-5)
    assert metrics["grad_norm/policy"] == pytest.approx(norm.item(), rel=1e-5)
    ours = dict(rank._network.model.named_parameters())
    for name, p in causal.named_parameters():
        assert (ours[name] - p).norm() <= 1e-3 * (p - start[name]).norm(), name
    torch.testing.assert_close(rank._network.value_head.linear.weight, head.weight, rtol=1e-4, atol=1e-6)


def test_a_head_of_zeros_leaves_the_policy_what_it_is_beside_a_second_network(model: Path):
    """At the first step all values are 0, and a head of zeros sends no gradient down; from the second on it does."""
    found = {}
    for name, advantage in (("separate", GAE()), ("shared", SHARED), ("detached", DETACHED)):
        rank = make_rank(model, learner_config(advantage=advantage, **WHOLE))
        assert ("grad_norm/critic" in rank.step(1, *make_groups(seed=1))) == (name == "separate")
        first = full_weights(rank)
        rank.step(2, *make_groups(seed=2))
        found[name] = first, full_weights(rank)
    separate, shared, detached = found.values()
    assert separate[0].keys() == shared[0].keys()  # the head is not published
    for name, p in separate[0].items():
        assert torch.equal(p, shared[0][name]) and torch.equal(p, detached[0][name]), name
    assert any((p - detached[1][name]).abs().max() > 1e-3 for name, p in shared[1].items())


@pytest.mark.parametrize(
    ("advantage", "moves"),
    [
        (SHARED, True),
        (DETACHED, False),
        (GAE(critic=SharedCritic(mask="executed")), False),
    ],
    ids=["through", "detached", "masked"],
)
def test_only_a_value_loss_that_goes_through_moves_the_policy_where_no_token_was_executed(
    model: Path, advantage, moves
):
    rank = make_rank(model, learner_config(advantage=advantage, kl=NoKL()))
    torch.nn.init.normal_(rank._network.value_head.linear.weight)
    groups, start = make_groups(), full_weights(rank)
    for t in (t for group in groups for t in group):
        t.executed[:] = False
    rank.step(1, *groups)
    assert any(not torch.equal(p, start[name]) for name, p in full_weights(rank).items()) == moves
