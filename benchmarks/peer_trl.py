"""TRL's side of benchmarks.peer: its GRPOTrainer, timed from outside by a subclass that only looks at the clock.

    python -m benchmarks.peer_trl WORK.json STEPS.json         (started by benchmarks.peer in TRL's environment)

The warm-up step also checks that the sampler uses the trainer's weights: they are disturbed first, so that an engine
that was left with the old ones, or with half of them, cannot agree with the trainer; then they are put back.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportMissingImports]  (it lives in its own environment)

from benchmarks.peer_work import Step, Work, cpu_seconds, prompts, settings, write_steps
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.deploy.config.run import Config
from stepcoder.executor.judging.reward import reward
from stepcoder.executor.pool.local import LocalPool
from stepcoder.learner.config import LearnerLogprobs, PPOClip
from stepcoder.rollout.text.extract import extract

DISTURBANCE = 0.05  # of each weight, times a standard normal number


def without_prepacking() -> None:
    """TRL writes new weights into vLLM's parameters, but the CPU kernels read a packed copy: have them not pack."""
    from vllm import _custom_ops
    from vllm.model_executor.layers import utils

    _custom_ops._supports_onednn = False
    utils._CPU_SGL_GEMM_MAX_WEIGHT_BYTES = 0


class Timed(GRPOTrainer):
    """`spent` are the seconds of the step that is under way, by phase."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.spent: dict[str, float] = {}
        self.steps: list[Step] = []
        self.checked: dict[str, float] = {}
        self._tokens = (0, 0)
        self._reward = 0.0
        self._scoring = False
        super().__init__(*args, **kwargs)
        if self.use_vllm:
            for name, phase in (("sync_weights", "sync"), ("generate", "generate")):
                setattr(self.vllm_generation, name, self._wrapped(phase, getattr(self.vllm_generation, name)))

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - start

    def _wrapped(self, phase: str, call: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self._phase(phase):
                return call(*args, **kwargs)

        return timed

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        first = not self.steps
        saved = self._disturb() if first and self.use_vllm else None
        self._scoring = True
        output = super()._generate_and_score_completions(inputs)
        self._scoring = False
        self._tokens = int(output["prompt_mask"].sum()), int(output["completion_mask"].sum())
        if saved is not None:
            self.checked["gap"] = self._gap(output)
            self._restore(saved)
            self.checked["gap_if_stale"] = self._gap(output)
        return output

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        if self.use_vllm:
            return super()._generate_single_turn(*args, **kwargs)
        with self._phase("generate"):
            return super()._generate_single_turn(*args, **kwargs)

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Any:
        with self._phase("reward"):
            rewards = super()._calculate_rewards(*args, **kwargs)
        self._reward = float(rewards.mean())
        return rewards

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        with self._phase("score" if self._scoring else "inside training"):
            return super()._get_per_token_logps_and_entropies(*args, **kwargs)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        with self._phase("prepare"):
            return super()._prepare_inputs(generation_batch)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        with self._phase("training step"):
            return super().training_step(*args, **kwargs)

    def end_step(self, seconds: float, cpu: float) -> None:
        s = self.spent
        phases = {name: s.get(name, 0.0) for name in ("sync", "generate", "reward", "score", "optimizer")}
        phases["train"] = s["training step"] - s["prepare"]
        phases["other"] = seconds - sum(phases.values())
        gap = self._metrics["train"].get("sampling/sampling_logp_difference/mean")
        self.steps.append(Step(phases, seconds, cpu, *self._tokens, self._reward, gap[-1] if gap else None))
        self.spent = {}

    # -- soundness -------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _disturb(self) -> list[torch.Tensor]:
        saved = [p.detach().clone() for p in self.model.parameters()]
        draw = torch.Generator().manual_seed(0)
        for p in self.model.parameters():
            p.mul_(1 + DISTURBANCE * torch.randn(p.shape, generator=draw))
        return saved

    @torch.no_grad()
    def _restore(self, saved: list[torch.Tensor]) -> None:
        for p, old in zip(self.model.parameters(), saved, strict=True):
            p.copy_(old)

    @torch.no_grad()
    def _gap(self, output: dict[str, Any]) -> float:
        """Mean absolute difference of the sampler's and the trainer's log-probabilities (nats)."""
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        seen = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        keep = output["completion_ids"].size(1)
        size = self.args.per_device_train_batch_size
        ours, *_ = self._get_per_token_logps_and_entropies(self.model, ids, seen, keep, batch_size=size)
        counted = output["completion_mask"].bool()
        return float((ours - output["sampling_per_token_logps"])[counted].abs().mean())


class Clock(TrainerCallback):
    """Where a step begins and ends, and what the optimiser takes of it."""

    trainer: Timed

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._start, self._cpu = time.perf_counter(), cpu_seconds()

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._optimizer = time.perf_counter()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.trainer.spent["optimizer"] = time.perf_counter() - self._optimizer

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.trainer.end_step(time.perf_counter() - self._start, cpu_seconds() - self._cpu)


def grpo_config(config: Config, work: Work, folder: str) -> GRPOConfig:
    """The same algorithm as the other side's, in TRL's names."""
    r, loss, adam, o = config.rollout, config.learner.loss, config.learner.policy, work.options
    assert isinstance(loss, PPOClip)
    completions = config.subtasks_per_step * r.group_size
    return GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=config.learner.precision == "autocast",
        model_init_kwargs={"dtype": "float32"},
        gradient_checkpointing=False,
        per_device_train_batch_size=o["micro_batch"],
        gradient_accumulation_steps=completions // o["micro_batch"],
        max_steps=1 + work.steps,
        learning_rate=adam.lr,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        adam_beta1=adam.beta1,
        adam_beta2=adam.beta2,
        adam_epsilon=adam.eps,
        weight_decay=adam.weight_decay,
        max_grad_norm=adam.max_grad_norm,
        num_generations=r.group_size,
        max_completion_length=r.max_new_tokens,
        temperature=r.temperature,
        top_p=r.top_p,
        beta=0.0,
        epsilon=loss.clip_low,
        epsilon_high=loss.clip_high,
        loss_type="grpo",
        scale_rewards="group",
        use_vllm=o["vllm"],
        vllm_mode="colocate",
        vllm_max_model_length=r.max_model_len,
        vllm_importance_sampling_correction=o["correction"],
        vllm_importance_sampling_mode="token_truncate",
        vllm_importance_sampling_clip_max=LearnerLogprobs().importance_cap,
        use_transformers_continuous_batching=o["continuous_batching"],
        shuffle_dataset=False,
        seed=work.seed,
        report_to=[],
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def main(source: str, target: str) -> None:
    work = Work.read(Path(source))
    config = settings(work.settings | {"model": work.model})
    problems = work.chosen(load_problems("starter:train"))
    by_id = {problem.id: problem for problem in problems}
    texts = prompts(AutoTokenizer.from_pretrained(work.model), config.curriculum.prompt, problems)
    rows = [{"prompt": text, "problem": problem.id} for text, problem in zip(texts, problems, strict=True)]
    if work.options["vllm"] and not work.options["prepacked"]:
        without_prepacking()
    with LocalPool(config.executor) as pool, tempfile.TemporaryDirectory() as folder:

        def passes_tests(completions: list[str], problem: list[str], **_: Any) -> list[float]:
            suites = [by_id[name].suite for name in problem]
            programs = [extract("", text, "instruct").program for text in completions]
            return [reward(report, config.executor.reward) for report in pool.map(zip(programs, suites, strict=True))]

        clock = Clock()
        trainer = Timed(
            model=work.model,
            reward_funcs=passes_tests,
            args=grpo_config(config, work, folder),
            train_dataset=Dataset.from_list(rows),
            callbacks=[clock],
        )
        clock.trainer = trainer
        trainer.train()
        about = trainer.checked | {
            "weights": sorted({str(p.dtype).removeprefix("torch.") for p in trainer.model.parameters()})
        }
        write_steps(Path(target), trainer.steps[1:], about)


if __name__ == "__main__":
    main(*sys.argv[1:])
