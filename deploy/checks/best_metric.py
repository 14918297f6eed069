"""Whether `run.best_metric` is a number that the run will write: else no checkpoint would ever be the best."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.shared import HELDOUT, TRAIN
from stepcoder.errors import UserError, nearest
from stepcoder.executor.report import Verdict

# What a step's line of metrics.jsonl may hold; `*` stands for every number.
STEP = (
    "age/finished_s", "correction/capped_share", "correction/masked_share", "correction/sequences_masked",
    "coverage/untrusted_share", "curriculum/epoch", "curriculum/full_generation_share", "curriculum/histogram/*",
    "curriculum/moves", "curriculum/moves_by_cap", "curriculum/pass_rate", "curriculum/problems_met",
    "curriculum/stage_fraction", "curriculum/stale_outcomes", "curriculum/steps_back", "curriculum/subtasks",
    "curriculum/too_long_problems", "curriculum/unparsable_solutions", "curriculum/unsolved_problems", "executed_share",
    "faults/engines", "faults/learner", "faults/seconds", "gap/alarm", "gap/logprob_abs_mean", "grad_norm/critic",
    "grad_norm/policy", "groups/dropped", "groups/generated", "groups/refilled", "groups/too_old", "groups/unjudged",
    "hidden/passes_shown_fails_hidden", "idle/engines", "idle/executors", "idle/learner", "kl/coef", "kl/loss",
    "kl/reference", "lr/policy", "pass_rate", "pass_rate/full", "policy/clip_share", "policy/entropy", "policy/loss",
    "queue/finished", "queue/judging", "queue/requests", "queue/unfinished", "queue/waiting", "repair/repaired",
    "repair/turns", "reward/mean", "seconds/generate", "seconds/learner_score", "seconds/learner_update",
    "seconds/publish", "seconds/train", "staleness", "staleness/mean", "step", "tokens/generated",
    "tokens/mean_response", "tokens/trained", "tokens_per_s/generate", "tokens_per_s/train", "updates/refused",
    "updates/total", "value/error", "value/loss", "value/mean", *(f"verdict/{verdict}" for verdict in Verdict),
)  # fmt: skip
RATES = ("pass_rate", "stderr", "sampling_stderr", "n_problems", "n_samples", "unjudged")


def check_best_metric(config: Config) -> None:
    """UserError for a set that is not evaluated, and for what is no number of a step or of an evaluation."""
    metric = config.run.best_metric
    sets = [TRAIN, *config.data.heldout_sets]
    kind, _, rest = metric.partition("/")
    if kind == "eval" and (name := rest.partition("/")[0]) not in (*sets, HELDOUT):
        raise UserError(f"run.best_metric = {metric}: no set is called {name!r}; there are {', '.join(sets)}.")
    names = [*STEP, *(f"eval/{name}/{rate}" for name in dict.fromkeys((*sets, HELDOUT)) for rate in _rates(config))]
    if not any(fnmatchcase(metric, name) for name in names):
        close = nearest(metric, names, 3) or [f"eval/{sets[-1]}/pass_rate", "reward/mean"]
        raise UserError(f"run.best_metric = {metric}: no step and no evaluation has it; near it: {', '.join(close)}.")


def _rates(config: Config) -> Iterator[str]:
    """What an evaluation of a set holds."""
    e = config.eval
    for before in ("", "greedy/") if e.greedy else ("",):
        yield from (f"{before}{name}" for name in (*RATES, *(f"by_level/{level}" for level in config.data.levels)))
    yield from (f"{name}/{k}" for name in ("pass_at_k", "pass_at_k_stderr") for k in e.ks)
