"""Supervised fine-tuning: the loss by hand and against transformers' own, on tiny real models and real DeepSpeed."""

import math
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.prompts import Prompter
from stepcoder.learner.config import LearnerConfig, NoKL, OptimizerConfig, ReinforcePlusPlus
from stepcoder.learner.sft.examples import Example, encode
from stepcoder.learner.sft.service import SFTRank
from stepcoder.learner.sft.update import sft_loss
from stepcoder.rollout.text.extract import extract


def config(**changes: object) -> LearnerConfig:
    """A policy alone, in fp32, at a rate that moves a tiny model visibly in a step."""
    fields: dict[str, object] = dict(
        precision="fp32", token_budget=1024, logprob_chunk=1024, policy=OptimizerConfig(lr=1e-2),
        advantage=ReinforcePlusPlus(), kl=NoKL(),
    )  # fmt: skip
    return LearnerConfig(**(fields | changes))  # type: ignore[arg-type]


def make_rank(model: Path, settings: LearnerConfig, seed: int = 0, total_updates: int = 10) -> SFTRank:
    os.environ["DS_ACCELERATOR"] = "cpu"
    rank = SFTRank(0, 1, str(model), settings, seed=seed, total_updates=total_updates, temperature=1.0, cuda=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rank.build("127.0.0.1", port)
    return rank


def examples(seed: int = 0, count: int = 4, vocabulary: int = 300) -> list[Example]:
    """Uneven lengths; every second prompt has two answers."""
    draw = np.random.default_rng(seed)

    def ids(least: int, most: int) -> np.ndarray:
        return draw.integers(3, vocabulary, size=int(draw.integers(least, most))).astype(np.int32)

    return [Example(ids(4, 12), tuple(ids(1, 14) for _ in range(1 + i % 2))) for i in range(count)]


def weights(rank: SFTRank) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in rank._network.model.named_parameters()}


def test_the_loss_by_hand():
    # Two rows of a batch of three answer tokens with probabilities 1/2, 1/4 | 1/8:
    # (ln 2 + 2 ln 2) / 3 + 3 ln 2 / 3 = 2 ln 2; a token's gradient is -1/3, whichever row it is in.
    first = torch.tensor([0.5, 0.25]).log().requires_grad_()
    second = torch.tensor([0.125]).log().requires_grad_()
    loss = sft_loss(first, 3.0) + sft_loss(second, 3.0)
    loss.backward()
    assert loss.item() == pytest.approx(2 * math.log(2))
    torch.testing.assert_close(torch.cat([first.grad, second.grad]), torch.full((3,), -1 / 3))


def test_a_step_equals_padded_training_with_the_prompt_masked_out(model: Path):
    batch = examples()
    rank = make_rank(model, config())
    causal = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    adam = torch.optim.AdamW(causal.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    pairs = [(e.prompt_ids, answer) for e in batch for answer in e.answers]
    tokens = sum(len(answer) for _, answer in pairs)
    loss = torch.zeros(())
    for prompt, answer in pairs:
        ids = torch.tensor([*prompt, *answer]).long()[None]
        labels = torch.tensor([*[-100] * len(prompt), *answer]).long()[None]
        loss = loss + causal(ids, labels=labels).loss * len(answer) / tokens  # transformers' mean over answer tokens
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(causal.parameters(), 1.0)
    adam.step()

    before = rank.validate(batch)
    metrics = rank.train(batch)
    assert metrics["sft/loss"] == pytest.approx(loss.item(), rel=1e-5) == before
    assert metrics["grad_norm/policy"] == pytest.approx(norm.item(), rel=1e-4)
    assert metrics["tokens/answers"] == tokens
    assert metrics["tokens/trained"] < sum(len(prompt) + len(answer) - 1 for prompt, answer in pairs)  # prompts shared
    start = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).state_dict()
    for name, p in causal.named_parameters():
        moved = (p - start[name]).norm()
        assert (weights(rank)[name] - p).norm() <= 0.01 * moved, name
    assert rank.validate(batch) < before


def test_prompt_tokens_have_no_gradient(model: Path):
    batch = examples()
    rank = make_rank(model, config())
    (row,) = rank._sft._rows(batch)
    seen: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    hook = rank._network.model.get_decoder().norm.register_forward_hook(keep)
    rank.train(batch)
    hook.remove()
    gradient = seen[0].grad
    assert gradient is not None
    predicts_answer = torch.zeros(gradient.shape[1], dtype=torch.bool)
    predicts_answer[row.select] = True
    assert int((~predicts_answer).sum()) == sum(len(e.prompt_ids) - 1 for e in batch)
    assert (gradient[0, ~predicts_answer] == 0).all()
    assert (gradient[0, predicts_answer].abs().sum(-1) > 0).all()


def test_the_step_does_not_depend_on_the_split_into_rows(model: Path):
    whole, split = (make_rank(model, config(token_budget=budget)) for budget in (1024, 16))
    expected, found = whole.train(examples()), split.train(examples())
    for key in ("sft/loss", "policy/entropy", "grad_norm/policy"):
        assert found[key] == pytest.approx(expected[key], rel=1e-4), key
    assert found["tokens/trained"] > expected["tokens/trained"]  # the long groups' prompts are repeated


def test_a_checkpoint_resumes_bit_for_bit(model: Path, tmp_path: Path):
    settings = config(policy=OptimizerConfig(lr=1e-2, warmup_steps=2, schedule="linear"))
    straight = make_rank(model, settings)
    for step in (1, 2, 3, 4):
        last = straight.train(examples(seed=step))
    stopped = make_rank(model, settings)
    for step in (1, 2):
        stopped.train(examples(seed=step))
    stopped.save(str(tmp_path / "checkpoint"))
    resumed = make_rank(model, settings, seed=99)
    resumed.load(str(tmp_path / "checkpoint"))
    for step in (3, 4):
        again = resumed.train(examples(seed=step))
    assert {k: v for k, v in again.items() if "per_s" not in k} == {k: v for k, v in last.items() if "per_s" not in k}
    expected = weights(straight)
    assert all(torch.equal(p, expected[name]) for name, p in weights(resumed).items())


def test_an_update_that_is_not_finite_is_refused(model: Path):
    rank = make_rank(model, config())
    embedding = rank._network.model.get_input_embeddings().weight
    healthy = embedding.detach().clone()
    before = weights(rank)
    with torch.no_grad():
        embedding[3:] = math.nan
    assert rank.train(examples())["updates/refused"] == 1.0
    with torch.no_grad():
        embedding.copy_(healthy)
    assert all(torch.equal(p, before[name]) for name, p in weights(rank).items())
    assert rank.train(examples())["updates/refused"] == 0.0


@pytest.mark.parametrize("form", ["prefill", "instruct"])
def test_an_answer_is_what_training_would_cut_the_solution_out_of(model: Path, form):
    tokenizer = AutoTokenizer.from_pretrained(model)
    prompter = Prompter(tokenizer, PromptConfig(form=form, max_prompt_tokens=10_000))
    problems = load_problems("starter:train")
    encoded = encode(problems, prompter, tokenizer.eos_token_id, 10_000)
    assert len(encoded.examples) == len(problems) and not encoded.too_long and not encoded.unsolved
    for problem, example in zip(problems, encoded.examples, strict=True):
        assert example.prompt_ids.tolist() == prompter.ids(problem, "")
        (answer,) = example.answers
        assert answer[-1] == tokenizer.eos_token_id and tokenizer.eos_token_id not in answer[:-1]
        reply = tokenizer.decode(answer[:-1])
        cut = extract("", reply, form)
        assert cut.program.strip() == problem.solution.strip() and cut.fence is not None
        assert reply.endswith("\n```") and reply[cut.fence[1] :] == ""


def test_what_cannot_be_trained_on_is_counted_and_one_prompt_is_one_example(model: Path):
    import dataclasses

    tokenizer = AutoTokenizer.from_pretrained(model)
    first, second, third = load_problems("starter:train")[:3]
    prompter = Prompter(tokenizer, PromptConfig(max_prompt_tokens=10_000))
    other = dataclasses.replace(first, id="other", solution=first.solution + "# another way\n")
    empty = dataclasses.replace(second, solution=" \n")
    long = dataclasses.replace(third, solution=third.solution + "# long\n" * 500)
    encoded = encode([first, empty, long, other], prompter, tokenizer.eos_token_id, 600)
    assert (encoded.unsolved, encoded.too_long) == ((second.id,), (third.id,))
    (example,) = encoded.examples
    assert len(example.answers) == 2 and len(example.answers[1]) > len(example.answers[0])
    limit = len(example.answers[0])  # the end token counts
    assert encode([first], prompter, tokenizer.eos_token_id, limit).too_long == ()
    assert encode([first], prompter, tokenizer.eos_token_id, limit - 1).too_long == (first.id,)
    tight = Prompter(tokenizer, PromptConfig(max_prompt_tokens=len(example.prompt_ids) - 1))
    assert encode([first], tight, tokenizer.eos_token_id, 600).too_long == (first.id,)
