"""What can be said of the two ideas without training: from the trajectories that a run has stored.

    python -m benchmarks.signal stages runs/starter
    python -m benchmarks.signal gradient runs/starter --model smollm2-135m --steps 1 2 3 4 5 6

`stages`: by stage of the curriculum, how many groups have a signal. A group whose completions all get the same reward
gives none, with a group baseline; so this is the share of the work that teaches something.

`gradient`: the policy's gradient over the stored groups of some steps, at one model's weights, under three masks: all
tokens, executed ones (FGO), and as many at random. A group's gradient is the sum over its completions of the advantage
(reward less the mean of the others) times the gradient of the log-probability of the masked tokens. A batch is the
groups of a step. Shown for each mask:

  noise     variance of a group's gradient, over the squared length of the mean gradient: lower is better. Groups of a
            mean gradient so short that its own noise is as long give no number
  cosine    of a batch's gradient and the gradient over all tokens of all other batches: higher is better
  length    of the mean gradient, as a share of that over all tokens

Gradients are taken at COORDINATES weights drawn at random, in proportion from each tensor, which leaves cosines
and ratios as they are on average. The weights are those of `--model`, the start of the run; the first steps are close.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from stepcoder.deploy.run.trajectories import trajectory_file
from stepcoder.errors import UserError
from stepcoder.executor.report import Verdict
from stepcoder.learner.config import FGO, AllCredit, CreditConfig, RandomCredit
from stepcoder.learner.masks import credit_mask
from stepcoder.rollout.trajectory import Trajectory

if TYPE_CHECKING:
    from stepcoder.learner.networks.models import Policy

COORDINATES = 1_000_000
RULES: dict[str, CreditConfig] = {"all": AllCredit(), "fgo": FGO(), "random": RandomCredit()}
FIELDS = tuple(Trajectory.__dataclass_fields__)
Vector = Float[np.ndarray, " C"]


def read_groups(run: Path, steps: Sequence[int] | None = None) -> Iterator[tuple[int, list[Trajectory]]]:
    """(step, group) of a run's stored trajectories, in order."""
    import pyarrow.parquet as pq

    folder = run / "trajectories"
    files = sorted(folder.glob("step-*.parquet")) if steps is None else [trajectory_file(folder, n) for n in steps]
    if not files or not all(file.is_file() for file in files):
        raise UserError(f"{folder}: trajectories of steps {steps or 'any'} are not all there")
    for file in files:
        groups = defaultdict[int, list[Trajectory]](list)
        rows = pq.read_table(file).to_pylist()
        for row in rows:
            groups[row["ticket"]].append(trajectory(row))
        yield from ((rows[0]["step"], groups[ticket]) for ticket in sorted(groups))


def trajectory(row: dict[str, Any]) -> Trajectory:
    """A stored row as the learner had it."""
    arrays = {"prompt_ids": np.int32, "response_ids": np.int32, "executed": bool, "code": bool, "token_lines": np.int32}
    known = {name: row[name] for name in FIELDS if name in row and name not in ("logprobs", "verdict", "tests")}
    known |= {name: np.asarray(row[name], kind) for name, kind in arrays.items()}
    known |= {"thoughts": np.asarray(row["thinking"], bool), "between": ~np.asarray(row["sampled"], bool)}
    return Trajectory(
        logprobs=np.asarray(row["sampler_logprobs"], np.float32), verdict=Verdict(row["verdict"]), **known
    )  # fmt: skip


@dataclass(slots=True)
class StageCount:
    groups: int = 0
    signal: int = 0
    passed: int = 0
    written: int = 0


def stages(groups: Iterator[tuple[int, list[Trajectory]]]) -> dict[int, StageCount]:
    """Stage -> groups, and those whose rewards differ; programs, and those that passed."""
    found: dict[int, StageCount] = {}
    for _, group in groups:
        count = found.setdefault(group[0].stage, StageCount())
        rewards = [t.reward for t in group]
        count.groups += 1
        count.signal += max(rewards) > min(rewards)
        count.passed += sum(t.verdict == Verdict.PASSED for t in group)
        count.written += len(group)
    return dict(sorted(found.items()))


def advantages(rewards: Sequence[float]) -> Float[np.ndarray, " G"]:
    """Each reward less the mean of the others."""
    own = np.asarray(rewards, np.float64)
    return own - (own.sum() - own) / (len(own) - 1)


class Gradients:
    """The gradient of a group under each mask, at some of the policy's weights."""

    def __init__(self, policy: "Policy", coordinates: int, seed: int = 0) -> None:
        self.policy = policy
        self.parameters = [p for p in policy.parameters() if p.requires_grad]
        total, draw = sum(p.numel() for p in self.parameters), np.random.default_rng(seed)
        share = min(1.0, coordinates / total)
        self.places = [draw.choice(p.numel(), -(-int(p.numel() * share) // 1), replace=False) for p in self.parameters]

    def of(self, group: Sequence[Trajectory], step: int) -> dict[str, Vector]:
        """One forward pass, a backward pass a mask. Zeros where all rewards are equal."""
        import torch

        from stepcoder.learner.packing import Piece, pack
        from stepcoder.learner.rows import network_inputs

        length = sum(map(len, self.places))
        weights = advantages([t.reward for t in group])
        if not weights.any():
            return dict.fromkeys(RULES, np.zeros(length))
        starts = np.cumsum([0, *(len(t.response_ids) for t in group)])
        items = tuple((t.response_ids, int(start)) for t, start in zip(group, starts, strict=False))
        (row,) = pack([Piece(group[0].prompt_ids, items)], 1 << 30)
        logprobs, *_ = self.policy(*network_inputs(row, torch.device("cpu")))
        found = {}
        for number, (name, rule) in enumerate(RULES.items()):
            masks = [credit_mask(t, rule, step=step, seed=0) * w for t, w in zip(group, weights, strict=True)]
            taken = torch.from_numpy(np.concatenate(masks)).float()[row.flat]
            (logprobs * taken).sum().backward(retain_graph=number < len(RULES) - 1)
            found[name] = self._take()
        return found

    def _take(self) -> Vector:
        parts = []
        for parameter, places in zip(self.parameters, self.places, strict=True):
            grad = parameter.grad
            parts.append(np.zeros(len(places)) if grad is None else grad.flatten()[places].double().numpy())
            parameter.grad = None
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class MaskRow:
    """`cosines`: one a batch."""

    noise: float
    cosines: tuple[float, ...]
    length: float


class Moments:
    """Batch gradients as they come: sums over groups, and of the squared lengths."""

    def __init__(self) -> None:
        self.batches: dict[str, dict[int, Vector]] = {name: {} for name in RULES}
        self.squares = dict.fromkeys(RULES, 0.0)
        self.groups = 0

    def add(self, step: int, gradients: dict[str, Vector]) -> None:
        self.groups += 1
        for name, vector in gradients.items():
            self.batches[name][step] = self.batches[name].get(step, 0) + vector
            self.squares[name] += float(vector @ vector)

    def rows(self) -> dict[str, MaskRow]:
        """By mask. The mean's squared length is less its own noise, so that it is not biased."""
        n, everything = self.groups, sum(self.batches["all"].values())
        found, longest = {}, 0.0
        for name, batches in self.batches.items():
            mean = sum(batches.values()) / n
            variance = (self.squares[name] - n * float(mean @ mean)) / (n - 1)
            squared = max(float(mean @ mean) - variance / n, 0.0)
            longest = longest or squared**0.5
            cosines = tuple(cosine(vector, everything - self.batches["all"][step]) for step, vector in batches.items())
            found[name] = MaskRow(
                variance / squared if squared else np.nan, cosines, squared**0.5 / longest if longest else np.nan
            )
        return found


def cosine(one: Vector, other: Vector) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else np.nan


def measured(run: Path, model: str, steps: Sequence[int], coordinates: int) -> Moments:
    import torch

    from stepcoder.deploy.checks.starter_model import resolve_model
    from stepcoder.learner.networks.models import load_policy

    policy = load_policy(resolve_model(model), torch.float32, pieces=4, autocast=True, fp32_output=True)
    gradients, moments = Gradients(policy, coordinates), Moments()
    for step, group in read_groups(run, steps):
        moments.add(step, gradients.of(group, step))
        print(f"step {step}, group {moments.groups}", end="\r", flush=True)
    return moments


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("stages", "gradient"))
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="run directories; gradient takes one")
    parser.add_argument("--model", default="smollm2-135m", help="whose weights (default: %(default)s)")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--coordinates", type=int, default=COORDINATES)
    options = parser.parse_args(arguments)
    if options.what == "stages":
        every = (pair for run in options.runs for pair in read_groups(run))
        print("| stage | groups | with a signal | passed |\n|---|---|---|---|")
        for stage, c in stages(every).items():
            name = "0, full generation" if stage == 0 else stage
            print(f"| {name} | {c.groups} | {c.signal / c.groups:.0%} | {c.passed / c.written:.1%} |")
        return
    moments = measured(options.runs[0], options.model, options.steps, options.coordinates)
    print(f"{moments.groups} groups of {len(options.steps)} steps\n")
    print("| mask | noise | cosine | length |\n|---|---|---|---|")
    for name, row in moments.rows().items():
        mean, error = np.nanmean(row.cosines), np.nanstd(row.cosines, ddof=1) / np.sqrt(len(row.cosines))
        print(f"| {name} | {row.noise:.1f} | {mean:.3f} ± {error:.3f} | {row.length:.2f} |")


if __name__ == "__main__":
    main()
