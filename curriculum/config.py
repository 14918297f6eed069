"""Settings of the curriculum: cuts, moves of the start points, the draw of problems, and prompts."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ScheduleName = Literal["threshold", "linear", "mixed", "none"]
Reading = Literal["ours", "paper"]
ConditionalKind = Literal["default", "if_only", "extended"]
Sampling = Literal["uniform", "courses", "level", "learnability"]
PromptForm = Literal["prefill", "instruct"]


class PromptConfig(BaseModel):
    """How a subtask is put to the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: PromptForm = Field(
        default="prefill",
        description="prefill: the assistant's turn is opened with a code fence and the prefix; instruct: the prefix is "
        "quoted in the request and the model opens its own fence. Source: ours",
    )
    system: str | None = Field(
        default=None,
        description="System message; null leaves it to the model's chat template, '' sends an empty one. Source: ours",
    )
    templates: str | None = Field(
        default=None,
        description="Folder whose .txt files replace the templates of the same name in curriculum/templates; null: "
        "none. Source: ours",
    )
    max_prompt_tokens: int = Field(
        default=512,
        ge=16,
        description="Longest prompt (tokens). A longer one falls back to an earlier start point; a problem too long "
        "even without a prefix is never drawn. Source: ours",
    )


class LevelWeights(BaseModel):
    """How often a problem of each level occurs in an epoch with the sampling `level`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    introductory: float = Field(
        default=1.0, ge=0.0, le=1000.0, description="Times that an introductory problem occurs in an epoch, on "
        "average (times); 0 leaves them out. Source: ours",
    )  # fmt: skip
    interview: float = Field(
        default=1.0, ge=0.0, le=1000.0, description="Times that an interview problem occurs in an epoch, on average "
        "(times); 0 leaves them out. Source: ours",
    )  # fmt: skip
    competition: float = Field(
        default=1.0, ge=0.0, le=1000.0, description="Times that a competition problem occurs in an epoch, on average "
        "(times); 0 leaves them out. Source: ours",
    )  # fmt: skip


class CurriculumConfig(BaseModel):
    """Which problem is tried next, and how much of its solution is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schedule: ScheduleName = Field(
        default="threshold",
        description="threshold: a problem's start point moves when its pass rate exceeds rho; linear: by the number of "
        "subtasks handed out; mixed: all stages at once; none: always full generation (plain PPO). Source: "
        "paper (threshold)",
    )
    reading: Reading = Field(
        default="ours",
        description="ours: full generation is a stage of its own after the courses; paper: literal, so that a program "
        "with one conditional gets no curriculum. Source: paper/ours",
    )
    conditionals: ConditionalKind = Field(
        default="default",
        description="What counts as a conditional. if_only: if, elif; default: also for, while, match; extended: also "
        "try, ternaries, comprehension conditions. Source: ours",
    )
    rho: float = Field(
        default=0.6,
        ge=0.0,
        lt=1.0,
        description="Threshold: a start point moves when the problem's pass rate is strictly above it (fraction). "
        "Source: ours (the paper gives no value)",
    )
    alpha: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="Weight of the newest subtask in a problem's moving pass rate (fraction). Source: ours (the paper "
        "gives no value)",
    )
    visit_cap: int | None = Field(
        default=15,
        ge=1,
        description="After this many subtasks at one stage the start point moves whatever the pass rate; null: never "
        "(subtasks). Source: ours",
    )
    step_back: int | None = Field(
        default=None,
        ge=1,
        description="Schedule threshold: when the first so many subtasks at a stage have no passing completion, the "
        "start point moves one stage nearer the end again, once a stage (subtasks); null: never. Source: ours",
    )
    linear_subtasks: int = Field(
        default=10_000,
        ge=1,
        description="Schedule linear: after this many subtasks every problem is at full generation (subtasks). Source: "
        "ours",
    )
    sampling: Sampling = Field(
        default="uniform",
        description="How often a problem occurs in an epoch. uniform: once; courses: once for each of its courses; "
        "level: by level_weights; learnability: by p (1 - p), p being its estimated pass rate at the present stage. "
        "Source: paper (courses), arXiv 2408.15099 (learnability)",
    )
    level_weights: LevelWeights = Field(default=LevelWeights(), description="Weights of the sampling `level`.")
    learnability_floor: float = Field(
        default=0.1,
        gt=0.0,
        le=1.0,
        description="Sampling learnability: least weight of a problem, where p = 1/2 has weight 1 (fraction), so that "
        "none is lost from sight. Source: ours",
    )
    prompt: PromptConfig = Field(default=PromptConfig(), description="How a subtask is put to the model.")

    @model_validator(mode="after")
    def step_back_can_happen(self) -> "CurriculumConfig":
        if self.step_back is not None and self.visit_cap is not None and self.step_back >= self.visit_cap:
            raise ValueError(
                f"step_back = {self.step_back} never happens, since the start point moves after visit_cap = "
                f"{self.visit_cap} subtasks; make step_back less, or null"
            )
        return self
