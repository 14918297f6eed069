"""Settings of the executor. Units are in the names; every default has its home here."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from stepcoder.executor.judging.reward import check_name
from stepcoder.executor.sandbox.values.codec import MAX_DEPTH, MAX_PARTS
from stepcoder.executor.suite import CompareRule
from stepcoder.settings import Settings


class ProgramConfig(Settings):
    """How programs are run, limited and isolated."""

    level: Literal["auto", 1, 2, 3, 4] = "auto"
    """Isolation: auto takes the best level of 1-3 that this machine allows and refuses to start without one; 4 is no
    isolation and has to be asked for."""

    actors: int | None = Field(default=None, ge=1)
    """Executor actors of the Ray pool; none: 1 on one machine; on a cluster of several, one on each node that has
    cores to spare, which runs as many programs at once."""

    workers: int = Field(default=2, ge=1, le=256)
    """Programs run at once by a local pool, and by one actor where executor.actors is given or there is one machine."""

    cpu_s: float = Field(default=4.0, gt=0, le=600)
    """CPU time of one test, which decides, and the most that a problem's own limit may be (seconds)."""

    cpu_factor: float = Field(default=1.0, gt=0, le=1000)
    """A problem's own limit of CPU time is multiplied by this: many are made for faster languages."""

    wall_s: float = Field(default=20.0, gt=0, le=3600)
    """Wall-clock backstop of one test, for programs that sleep (seconds)."""

    idle_s: float = Field(default=5.0, gt=0, le=3600)
    """Wall time without any CPU time after which a program counts as stalled (seconds)."""

    program_cpu_s: float = Field(default=120.0, gt=0, le=86400)
    """CPU time of all tests of one program together; the tests left then count as timeouts (seconds)."""

    compile_s: float = Field(default=10.0, gt=0, le=600)
    """CPU time to compile a program (seconds)."""

    memory_mib: int = Field(default=1024, ge=64)
    """Address space of a program beyond the sandbox's (MiB)."""

    output_kib: int = Field(default=16 << 10, ge=1, le=1 << 20)
    """Output of one test, each of stdout and stderr (KiB)."""

    result_kib: int = Field(default=1024, ge=1, le=1 << 18)
    """Value that a test returns, as JSON (KiB)."""

    result_depth: int = Field(default=MAX_DEPTH, ge=1, le=250)
    """Nesting of a returned value (levels)."""

    result_parts: int = Field(default=MAX_PARTS, ge=1)
    """Values inside a returned value, itself included."""

    open_files: int = Field(default=64, ge=16)
    """Open descriptors of a program."""

    threads: int = Field(default=64, ge=1)
    """Threads of a program."""

    stack_mib: int = Field(default=512, ge=8)
    """Stack of a program's main thread (MiB)."""

    max_timeouts: int = Field(default=1, ge=1)
    """Timeouts in one program after which its other tests are not run."""

    isolate_tests: bool = False
    """A fresh process for every test, also of programs that are proven to leave nothing: 3x slower."""

    compare: CompareRule = "problem"
    """Output comparison: as each problem says (strict where it says nothing), or one of these for all problems."""

    coverage: bool = True
    """Record the executed lines. Source: StepCoder, section 3.3."""

    stdout_chars: int = Field(default=1000, ge=0)
    """Output kept in a report for a person (characters)."""

    infra_retries: int = Field(default=2, ge=0)
    """New runs of a program after the sandbox failed."""

    seed: int = Field(default=0, ge=0, le=(1 << 32) - 1)
    """Seed of a program's hashes and of its module random (number): fixed, a verdict does not depend on chance."""

    python: Path | None = None
    """Interpreter (3.11 or later) that runs programs; none: the one that runs this."""

    site_packages: bool = False
    """Let programs import the packages installed for that interpreter."""

    packages: tuple[Annotated[str, Field(pattern=r"^[^\W\d]\w*$")], ...] = ()
    """Modules of installed packages, such as numpy, that are imported beforehand for the programs that name them."""


class ExecutorConfig(ProgramConfig):
    """How programs are run, limited, isolated and judged."""

    reward: str = "stepcoder"
    """stepcoder: 1, -0.3, -0.6, -1 (StepCoder, section 4); binary: 1 or 0; ratio: -0.3 + 1.3 x share passed; ladder:
    rises with the stage reached and the share passed; verpo: 1 or 0, and a weight for each test passed, the greater the
    fewer of the subtask's programs pass it (VeRPO, arXiv 2601.03525); package.module:function: your own, of the
    report."""

    @field_validator("reward")
    @classmethod
    def _reward_name(cls, name: str) -> str:
        check_name(name)
        return name
