"""Which generated tokens take the policy loss: `learner.credit`."""

from typing import Annotated, Literal

from pydantic import Field

from stepcoder.settings import Variant


class AllCredit(Variant):
    """Every generated token."""

    type: Literal["all"] = "all"


class Executed(Variant):
    """What both choices have that go by the executed lines."""

    compile_error: Literal["all", "prefix", "line", "none"] = "all"
    """Tokens of a program that does not compile: all, up to the error line, that line only, or none."""


class FGO(Executed):
    """Tokens that a unit test executed. Source: paper."""

    type: Literal["fgo"] = "fgo"


class RandomCredit(Executed):
    """As many tokens of a sequence as fgo, at random: a control."""

    type: Literal["random"] = "random"


CreditConfig = Annotated[FGO | AllCredit | RandomCredit, Field(discriminator="type")]
