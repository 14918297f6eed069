"""Which generated tokens take the policy loss: the one place where that is decided."""

import numpy as np
from jaxtyping import Bool

from stepcoder.learner.config import AllCredit, CreditConfig, Divergence, RandomCredit
from stepcoder.learner.config.credit import Executed
from stepcoder.rollout.trajectory import Trajectory


def credit_mask(trajectory: Trajectory, rule: CreditConfig, *, step: int, seed: int) -> Bool[np.ndarray, " R"]:
    """Mask over response tokens; of several turns each by its own program, and no token that was put between them.

    fgo: tokens that a unit test executed (StepCoder, section 3.3). all: every generated token, which makes
    the loss that of the whole completion. random: as many tokens as fgo, drawn without replacement; the
    draw depends on seed, step, ticket and sample only. Where the coverage can't be trusted, every written token stands
    for the executed ones. divergence: the executed tokens from the first divergence of the reference solution on; all
    executed ones where none is known, or none of them is left. Thinking tokens are in it unless `rule.thinking` is
    none. Nothing of a completion that was cut off, if so configured.
    """
    mask = np.zeros(len(trajectory.response_ids), dtype=bool)
    for turn in trajectory.turns:
        mask[turn.start : turn.end] = credit_mask(trajectory.of_turn(turn), rule, step=step, seed=seed)
    if trajectory.turns or (trajectory.finish_reason == "length" and not rule.truncated):
        return mask
    answer = _answer_mask(trajectory, rule, np.random.default_rng([seed, step, trajectory.ticket, trajectory.sample]))
    thinking = trajectory.thinking
    return answer & ~thinking if rule.thinking == "none" else answer | thinking


def _answer_mask(trajectory: Trajectory, rule: CreditConfig, draws: np.random.Generator) -> Bool[np.ndarray, " R"]:
    """What the rule says of all that is no thought."""
    if isinstance(rule, AllCredit):
        return np.ones(len(trajectory.response_ids), dtype=bool)
    executed = trajectory.executed if trajectory.coverage_trusted else trajectory.code
    if not trajectory.verdict.ran:
        executed = _compile_error_mask(trajectory, rule)
    if isinstance(rule, Divergence) and trajectory.divergence is not None:
        lines = trajectory.token_lines
        later = executed & ((lines >= trajectory.divergence) | (lines == 0))  # on no line: the decision to stop
        return later if later.any() else executed
    if not isinstance(rule, RandomCredit):
        return executed
    mask = np.zeros(len(executed), dtype=bool)
    mask[draws.choice(np.flatnonzero(~trajectory.thinking), size=int(executed.sum()), replace=False)] = True
    return mask


def _compile_error_mask(trajectory: Trajectory, rule: Executed) -> Bool[np.ndarray, " R"]:
    """A program that does not compile executes nothing; a literal mask would make its reward useless.

    Without a known error line, or where nothing was written up to it, every written token counts, whatever the rule
    (but `none`). The closing fence, the end token and white space before them come after the error and are not blamed:
    they are on no line, or marked as executed, which nothing else is here.
    """
    code, lines, error = trajectory.code, trajectory.token_lines, trajectory.error_line
    if rule.compile_error == "none":
        return np.zeros_like(code)
    if rule.compile_error == "all" or error is None:
        return code
    upto = (lines > 0) & (lines <= error) if rule.compile_error == "prefix" else lines == error
    wanted = code & upto & ~trajectory.executed
    return wanted if wanted.any() else code
