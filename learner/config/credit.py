"""Which generated tokens take the policy loss: `learner.credit`."""

from typing import Annotated, Literal

from pydantic import Field

from stepcoder.settings import Variant


class Credit(Variant):
    """What every choice has."""

    truncated: bool = True
    """Tokens of a completion that was cut off at its longest length take the policy loss as any other; false: none of
    them does. Source of false: DAPO's overlong filtering, Yu et al. 2025."""
    thinking: Literal["code", "program", "none"] = "code"
    """Tokens between the marks of the model's chat template for thoughts. code: they take the policy loss, with their
    own advantage, as code that ran does; program: with the mean advantage of the program's tokens; none: they do not.
    Whether the tests executed a token is asked of the program's tokens alone."""


class AllCredit(Credit):
    """Every generated token."""

    type: Literal["all"] = "all"


class Executed(Credit):
    """What both choices have that go by the executed lines."""

    compile_error: Literal["all", "prefix", "line", "none"] = "all"
    """Tokens of a program that does not compile: all, up to the error line, that line only, or none."""


class FGO(Executed):
    """Tokens that a unit test executed. Source: paper."""

    type: Literal["fgo"] = "fgo"


class RandomCredit(Executed):
    """As many tokens of a sequence as fgo, at random: a control."""

    type: Literal["random"] = "random"


class Divergence(Executed):
    """Executed tokens from the line on where a failing program first does something else than the reference solution on
    the test that failed; the executed ones of a program that passes. Each problem's solution runs once for it. Source:
    in the spirit of EGCA, arXiv 2603.16158, from executed lines alone."""

    type: Literal["divergence"] = "divergence"


CreditConfig = Annotated[FGO | AllCredit | RandomCredit | Divergence, Field(discriminator="type")]
