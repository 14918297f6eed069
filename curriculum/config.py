"""Settings of the curriculum: cuts, moves of the start points, the draw of problems, and prompts.

Imports neither torch nor ray.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from stepcoder.settings import OWN, OwnVariant, Settings, Variant, variant

Reading = Literal["ours", "paper"]
ConditionalKind = Literal["default", "if_only", "extended"]
PromptForm = Literal["prefill", "instruct"]


class PromptConfig(Settings):
    """How a subtask is put to the model."""

    form: PromptForm = "prefill"
    """prefill: the assistant's turn is opened with a code fence and the prefix; instruct: the prefix is quoted in the
    request and the model opens its own fence."""
    system: str | None = None
    """System message; none leaves it to the model's chat template, '' sends an empty one."""
    templates: str | None = None
    """Folder whose .txt files replace the templates of the same name in curriculum/templates; none for those."""
    template_arguments: dict[str, Any] = {}
    """What the model's chat template takes beside the messages, such as {enable_thinking: true}."""
    max_prompt_tokens: int = Field(default=512, ge=16)
    """Longest prompt (tokens). A longer one falls back to an earlier start point; a problem too long even without a
    prefix is never drawn."""


class Threshold(Variant):
    """A problem's start point moves when its pass rate exceeds rho. Source: paper."""

    type: Literal["threshold"] = "threshold"
    rho: float = Field(default=0.6, ge=0.0, lt=1.0)
    """A start point moves when the problem's pass rate is strictly above it (fraction). The paper gives no value."""
    visit_cap: int | None = Field(default=15, ge=1)
    """After this many subtasks at one stage the start point moves whatever the pass rate; none: never (subtasks)."""
    step_back: int | None = Field(default=None, ge=1)
    """When the first so many subtasks at a stage have no passing completion, the start point moves one stage nearer the
    end again, once a stage (subtasks); none: never."""

    @model_validator(mode="after")
    def step_back_can_happen(self) -> "Threshold":
        if self.step_back is not None and self.visit_cap is not None and self.step_back >= self.visit_cap:
            raise ValueError(
                f"step_back = {self.step_back} never happens, since the start point moves after visit_cap = "
                f"{self.visit_cap} subtasks; make step_back less, or none"
            )
        return self


class Linear(Variant):
    """Start points move by the number of subtasks handed out."""

    type: Literal["linear"] = "linear"
    subtasks: int = Field(default=10_000, ge=1)
    """After this many subtasks every problem is at full generation (subtasks)."""


class Mixed(Variant):
    """All stages at once. Source: R3, arXiv 2402.05808."""

    type: Literal["mixed"] = "mixed"


class Bread(Variant):
    """A start point only where all own samples failed: full generation, then one course nearer the end after every
    subtask without a passing completion, and full generation again after one with. Source: BREAD's trigger, arXiv
    2506.17211; its search for the prefix is one of a step, ours one of visits."""

    type: Literal["bread"] = "bread"


class AdaBack(Variant):
    """The stage is drawn between two bounds that the reward moves, as in a search for the least help that suffices.
    Source: AdaBack, arXiv 2506.18110."""

    type: Literal["adaback"] = "adaback"
    tau: float = Field(default=0.5, gt=0.0, le=1.0)
    """A subtask with at least this share of passing completions lowers the upper bound to its stage and sets the lower
    one to 0, any other raises the lower bound to it (fraction). Source: AdaBack, whose code has 0.5."""
    full: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of subtasks that are full generation whatever the bounds (fraction). Source: AdaBack, appendix C."""


class Pope(Variant):
    """Guided and unguided subtasks mixed. Guided ones start at the problem's first course, and one nearer the end after
    each without a passing completion, until one passes. Source: POPE, arXiv 2601.18779, which finds the prefix before
    training."""

    type: Literal["pope"] = "pope"
    guided: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Share of subtasks with a start point; the others are full generation (fraction). Source: POPE, half."""


class FullGeneration(Variant):
    """Always full generation: plain PPO."""

    type: Literal["none"] = "none"


class OwnSchedule(OwnVariant):
    """A user's own schedule: a subclass of `curriculum.stages.schedules.Schedule`, which gets the settings."""


ScheduleConfig = Annotated[
    Annotated[Threshold, Tag("threshold")]
    | Annotated[Linear, Tag("linear")]
    | Annotated[Mixed, Tag("mixed")]
    | Annotated[Bread, Tag("bread")]
    | Annotated[AdaBack, Tag("adaback")]
    | Annotated[Pope, Tag("pope")]
    | Annotated[FullGeneration, Tag("none")]
    | Annotated[OwnSchedule, Tag(OWN)],
    Discriminator(variant),
]


class Uniform(Variant):
    """Once in an epoch."""

    type: Literal["uniform"] = "uniform"


class Courses(Variant):
    """Once for each of its stages. Source: paper."""

    type: Literal["courses"] = "courses"


class Levels(Variant):
    """By its level, so many times on average; 0 leaves a level out."""

    type: Literal["level"] = "level"
    introductory: float = Field(default=1.0, ge=0.0, le=1000.0)
    """Times that an introductory problem occurs in an epoch, on average (times)."""
    interview: float = Field(default=1.0, ge=0.0, le=1000.0)
    """Times that an interview problem occurs in an epoch, on average (times)."""
    competition: float = Field(default=1.0, ge=0.0, le=1000.0)
    """Times that a competition problem occurs in an epoch, on average (times)."""


class Learnability(Variant):
    """By p (1 - p), p being its estimated pass rate at the present stage. Source: arXiv 2408.15099."""

    type: Literal["learnability"] = "learnability"
    floor: float = Field(default=0.1, gt=0.0, le=1.0)
    """Least weight of a problem, where p = 1/2 has weight 1 (fraction), so that none is lost from sight."""


SamplingConfig = Annotated[Uniform | Courses | Levels | Learnability, Field(discriminator="type")]


class PromptsConfig(Settings):
    """What the model is asked."""

    prompt: PromptConfig = PromptConfig()


class CurriculumConfig(PromptsConfig):
    """Which problem is tried next, and how much of its solution is given."""

    schedule: ScheduleConfig = Threshold()
    """When a problem's start point moves."""
    reading: Reading = "ours"
    """ours: full generation is a stage of its own after the courses; paper: literal, so that a program with one
    conditional gets no curriculum."""
    conditionals: ConditionalKind = "default"
    """What counts as a conditional. if_only: if, elif; default: also for, while, match; extended: also try, ternaries,
    comprehension conditions."""
    alpha: float = Field(default=0.5, gt=0.0, le=1.0)
    """Weight of the newest subtask in a problem's moving pass rate (fraction). The paper gives no value."""
    sampling: SamplingConfig = Uniform()
    """How often a problem occurs in an epoch."""
