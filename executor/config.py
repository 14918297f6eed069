"""Settings of the executor. Units are in the names; every default has its home here."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stepcoder.executor.judging.reward import check_name
from stepcoder.executor.sandbox.values.codec import MAX_DEPTH, MAX_PARTS


class ProgramConfig(BaseModel):
    """How programs are run, limited and isolated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Literal["auto", 1, 2, 3, 4] = Field(
        default="auto",
        description="Isolation: auto takes the best level of 1-3 that this machine allows and refuses to start without "
        "one; 4 is no isolation and has to be asked for. Source: ours",
    )
    actors: int = Field(default=1, ge=1, description="Executor actors of the Ray pool (count). Source: ours")
    workers: int = Field(
        default=2, ge=1, le=256, description="Programs run at once by one actor or local pool. Source: ours"
    )
    cpu_s: float = Field(
        default=4.0, gt=0, le=600, description="CPU time of one test, which decides (seconds). Source: ours"
    )
    wall_s: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        description="Wall-clock backstop of one test, for programs that sleep (seconds). Source: ours",
    )
    idle_s: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Wall time without any CPU time after which a program counts as stalled (seconds). Source: ours",
    )
    program_cpu_s: float = Field(
        default=120.0,
        gt=0,
        le=86400,
        description="CPU time of all tests of one program together; the tests left then count as timeouts (seconds). "
        "Source: ours",
    )
    compile_s: float = Field(
        default=10.0, gt=0, le=600, description="CPU time to compile a program (seconds). Source: ours"
    )
    memory_mib: int = Field(
        default=1024, ge=64, description="Address space of a program beyond the sandbox's (MiB). Source: ours"
    )
    output_kib: int = Field(
        default=1024,
        ge=1,
        le=1 << 20,
        description="Output of one test, each of stdout, stderr and result (KiB). Source: ours",
    )
    result_depth: int = Field(
        default=MAX_DEPTH, ge=1, le=250, description="Nesting of a returned value (levels). Source: ours"
    )
    result_parts: int = Field(
        default=MAX_PARTS, ge=1, description="Values inside a returned value, itself included (count). Source: ours"
    )
    open_files: int = Field(default=64, ge=16, description="Open descriptors of a program (count). Source: ours")
    threads: int = Field(default=64, ge=1, description="Threads of a program (count). Source: ours")
    stack_mib: int = Field(default=512, ge=8, description="Stack of a program's main thread (MiB). Source: ours")
    max_timeouts: int = Field(
        default=1,
        ge=1,
        description="Timeouts in one program after which its other tests are not run (count). Source: ours",
    )
    isolate_tests: bool = Field(
        default=False,
        description="A fresh process for every test, also of programs that are proven to leave nothing: 3x slower. "
        "Source: ours",
    )
    compare: Literal["strict", "apps"] = Field(
        default="strict",
        description="Output comparison: strict for training, apps as published APPS figures. Source: ours",
    )
    coverage: bool = Field(default=True, description="Record the executed lines. Source: paper")
    stdout_chars: int = Field(
        default=1000, ge=0, description="Output kept in a report for a person (characters). Source: ours"
    )
    infra_retries: int = Field(
        default=2, ge=0, description="New runs of a program after the sandbox failed. Source: ours"
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=(1 << 32) - 1,
        description="Seed of a program's hashes and of its module random (number), fixed so that a verdict does not "
        "depend on chance. Source: ours",
    )
    python: Path | None = Field(
        default=None,
        description="Interpreter (3.11 or later) that runs programs; none: the one that runs this. Source: ours",
    )
    site_packages: bool = Field(
        default=False, description="Let programs import the packages installed for that interpreter. Source: ours"
    )


class ExecutorConfig(ProgramConfig):
    """How programs are run, limited, isolated and judged."""

    reward: str = Field(
        default="stepcoder",
        description="stepcoder: 1, -0.3, -0.6, -1; binary: 1 or 0; ratio: -0.3 + 1.3 x share passed; ladder: rises "
        "with the stage reached and the share passed; package.module:function: your own, of the report. Source: paper",
    )

    @field_validator("reward")
    @classmethod
    def _reward_name(cls, name: str) -> str:
        check_name(name)
        return name
