"""The problems of a run, as its settings choose them."""

from collections.abc import Iterable
from typing import NamedTuple

from stepcoder.curriculum.data.named import load_named
from stepcoder.curriculum.problems.hidden import with_hidden
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.deploy.config.shared import BaseConfig, DataConfig
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig, ProgramConfig
from stepcoder.words import plural


def read_problems(files: Iterable[str], key: str, programs: ProgramConfig) -> tuple[Problem, ...]:
    """The problems of several files in order; raises UserError for the first bad line or an id used twice.

    `programs`: how a solution runs that has to give the expected outputs of its data set.
    """
    found: dict[str, Problem] = {}
    executor = ExecutorConfig.model_validate(programs.model_dump())
    for file in files:
        try:
            loaded = load_named(file, executor)
        except UserError as error:
            raise UserError(f"{key}: {error}") from None
        for problem in loaded:
            if problem.id in found:
                raise UserError(f"{key}: the problem id {problem.id!r} in {file} is already used by an earlier file.")
            found[problem.id] = problem
    return tuple(found.values())


def chosen(config: BaseConfig, files: Iterable[str], key: str) -> tuple[Problem, ...]:
    """The problems of the wanted levels, at most `data.limit` of them."""
    data = config.data
    there = read_problems(files, key, config.executor)
    found = [problem for problem in there if problem.level in data.levels]
    if files and not found:
        wanted, levels = ", ".join(data.levels), ", ".join(sorted({problem.level for problem in there}))
        raise UserError(f"{key}: no problem is of the levels {wanted}, but of {levels}; change data.levels.")
    return tuple(found[: data.limit])


def hiding(data: DataConfig, train: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """The problems with `data.hidden_tests` of their tests kept out of the reward."""
    if not data.hidden_tests:
        return train
    found = tuple(with_hidden(problem, data.hidden_tests) for problem in train)
    if train and not any(problem.hidden for problem in found):
        raise UserError(
            f"data.hidden_tests = {data.hidden_tests:g} hides no test: of no training problem's tests is that share "
            "one or more. Set it higher, or to 0"
        )
    return found


class Sets(NamedTuple):
    """The problems of a run; those held out by the name of their set."""

    train: tuple[Problem, ...]
    heldout: dict[str, tuple[Problem, ...]]


def problems(config: BaseConfig) -> Sets:
    """The problems of a run, checked for some that are both trained on and held out."""
    train = hiding(config.data, chosen(config, config.data.train, "data.train"))
    sets = config.data.heldout_sets
    names = {name: f"data.heldout.{name}" if isinstance(config.data.heldout, dict) else "data.heldout" for name in sets}
    heldout = {name: chosen(config, files, names[name]) for name, files in sets.items()}
    shared = {problem.id for problem in train} & {problem.id for found in heldout.values() for problem in found}
    if shared:
        count = plural(len(shared), "problem is", "problems are")
        raise UserError(
            f"data.heldout: {count} also in data.train, {min(shared)!r} among them. "
            "A held-out problem must not be trained on: remove them from one of the two."
        )
    return Sets(train, heldout)
