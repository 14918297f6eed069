"""About how long a run will take on a machine without GPUs, from the speed of its matrix products.

The shares are rough: of what the products alone would take, generation and training were seen to reach between two
thirds and one and a half times these on AVX2, AVX-512 with bf16, two cores each.
"""

from collections.abc import Sequence

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.deploy.checks.footprint import ModelShape, network_parameters
from stepcoder.deploy.checks.formats import Figures
from stepcoder.deploy.config.run import Config

DECODING_SHARE = 0.4  # the rest: attention, sampling, the tail of short batches
TRAINING_SHARE = 0.5  # the rest: attention, normalisation, softmax, the optimiser
COMPLETION_SHARE = 0.5  # mean completion in evaluations, of rollout.max_new_tokens
GIVEN_SHARE = 0.3  # the same in training, where the curriculum gives a part of the program
FRAME_TOKENS = 60  # of a prompt: what it says beside the problem's statement
STATEMENT_CHARS = 4  # of a statement, a token
SERVICES_S = 90  # starting engines and learner, publishing weights, checkpoints


def run_seconds(config: Config, figures: Figures, shape: ModelShape, train: Sequence[Problem], heldout: int) -> float:
    """Of `stepcoder train` with these problems to train on and so many held out."""
    r, e, steps = config.rollout, config.eval, config.run.steps
    problems = heldout + (len(train) if e.train_limit is None else min(len(train), e.train_limit))
    between = (steps - 1) // e.every if e.every else 0
    evaluated = (
        (e.at_start + e.at_end + between) * problems * (e.samples + e.greedy) * r.max_new_tokens * COMPLETION_SHARE
    )
    completions = steps * config.subtasks_per_step * r.group_size
    written = completions * r.max_new_tokens * GIVEN_SHARE
    prompt = FRAME_TOKENS + sum(len(problem.statement) for problem in train) / len(train) / STATEMENT_CHARS
    trained = written + steps * config.subtasks_per_step * min(prompt, config.curriculum.prompt.max_prompt_tokens)
    decode = figures.engine[r.dtype] * 1e9 * DECODING_SHARE / (2 * shape.parameters)
    policy, critic, reference = network_parameters(config, shape)
    precision = "fp32" if config.learner.precision == "fp32" else "autocast"
    # A forward pass multiplies twice a parameter and token, a backward pass four times; the critic is asked once more.
    operations = 6 * policy + 8 * critic + 2 * reference
    train_rate = figures.learner[precision] * 1e9 * TRAINING_SHARE / operations
    return SERVICES_S + (evaluated + written) / decode + config.learner.epochs * trained / train_rate
