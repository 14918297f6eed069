"""`auto` number formats: the choice from figures, what is kept, and that a machine is measured once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stepcoder.deploy.checks import formats, products
from stepcoder.deploy.checks.formats import Figures, engine_format, learner_format, machine_identity, settle
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.deploy.run.directory import CONFIG, RunDirectory, kept_settings
from stepcoder.learner.rank import learner_environment
from stepcoder.rollout.engines import engine_environment

ROOT = Path(__file__).resolve().parents[2]
CPU = ["--learner.device", "cpu"]
# GFLOP/s; those of AVX2 were measured on a Zen 3, the others stand for their kind.
MACHINES = {
    "AVX2": ({"float32": 60, "bfloat16": 11.6, "float16": 16}, {"fp32": 90, "autocast": 11.7}, "float32", "fp32"),
    "AVX-512": ({"float32": 90, "bfloat16": 48, "float16": 25}, {"fp32": 150, "autocast": 70}, "float32", "fp32"),
    "NEON": ({"float32": 40, "bfloat16": 9, "float16": 75}, {"fp32": 45, "autocast": 9}, "float32", "fp32"),
    "AVX512_BF16": (
        {"float32": 85, "bfloat16": 310, "float16": 26}, {"fp32": 110, "autocast": 410}, "bfloat16", "autocast"
    ),
    "AMX": (
        {"float32": 120, "bfloat16": 900, "float16": 40}, {"fp32": 160, "autocast": 1500}, "bfloat16", "autocast"
    ),
    "as fast": ({"float32": 60, "bfloat16": 61, "float16": 1}, {"fp32": 90, "autocast": 92}, "float32", "fp32"),
    "one of each": ({"float32": 60, "bfloat16": 80, "float16": 1}, {"fp32": 90, "autocast": 80}, "bfloat16", "fp32"),
}  # fmt: skip


@pytest.mark.parametrize("machine", MACHINES)
def test_the_choice_follows_from_the_figures(machine: str) -> None:
    engine, learner, engine_choice, learner_choice = MACHINES[machine]
    figures = Figures(engine, learner)
    assert (engine_format(figures), learner_format(figures)) == (engine_choice, learner_choice)
    for rates, choice in ((engine, engine_choice), (learner, learner_choice)):
        sound = [rate for name, rate in rates.items() if name != "float16"]
        assert rates[choice] >= 0.95 * max(sound)


def test_fp16_is_only_for_models_that_are_stored_in_it() -> None:
    figures = Figures(*MACHINES["NEON"][:2])
    assert engine_format(figures, "float16") == "float16"
    assert engine_format(figures, "bfloat16") == engine_format(figures, None) == "float32"


def given(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    """Stand-in figures: what this machine is must not decide a test."""
    figures = Figures(*MACHINES[machine][:2], "a stand-in")
    monkeypatch.setattr(formats, "figures", lambda config: figures)


def test_every_consumer_sees_a_concrete_format(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "AVX2")
    for file, root in (("starter", None), ("sft-starter", SFTRunConfig), ("plain-ppo", None)):
        raw = load_config(ROOT / f"configs/{file}.yaml", CPU, {}, **({"root": root} if root else {}))
        config, notes = settle(raw)
        assert (raw.rollout.dtype, raw.learner.precision) == ("auto", "auto")
        assert (config.rollout.dtype, config.learner.precision) == ("float32", "fp32")
        assert type(config) is type(raw)
        assert any("float32 60, bfloat16 11.6, float16 16" in note for note in notes)


def test_what_is_named_stays_and_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "figures", lambda config: pytest.fail("measured"))
    named = ["--rollout.dtype", "float16", "--learner.precision", "fp32"]
    config, notes = settle(load_config(None, [*CPU, *named], {}))
    assert (config.rollout.dtype, config.learner.precision, notes) == ("float16", "fp32", ())
    config, notes = settle(load_config(None, ["--learner.device", "cuda"], {}))
    assert (config.rollout.dtype, config.learner.precision) == ("bfloat16", "autocast")


def test_a_run_keeps_its_choice_and_its_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = [*CPU, "--run.directory", str(tmp_path / "run")]
    lines = []
    for machine in ("AVX2", "AMX"):  # the second is another machine, where the run goes on
        given(monkeypatch, machine)
        config, notes = settle(load_config(None, words, {}), kept_settings(str(tmp_path / "run")))
        with RunDirectory.open(config, notes) as run:
            lines.append((run.path / CONFIG).read_text(encoding="utf-8"))
            run.metrics_file.write_text('{"step": 1}\n', encoding="utf-8")
    assert lines[0] == lines[1]
    assert "# rollout.dtype float32: float32 60, bfloat16 11.6, float16 16\n" in lines[0]
    assert yaml.safe_load(lines[0])["learner"]["precision"] == "fp32"


def test_notes_do_not_head_the_settings_of_other_formats(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = [*CPU, "--run.directory", str(tmp_path / "run")]
    given(monkeypatch, "AVX2")
    config, notes = settle(load_config(None, words, {}))
    RunDirectory.open(config, notes).close()
    named = [*words, "--rollout.dtype", "bfloat16", "--learner.precision", "fp32"]
    RunDirectory.open(*settle(load_config(None, named, {}), kept_settings(str(tmp_path / "run")))).close()
    assert "#" not in (tmp_path / "run" / CONFIG).read_text(encoding="utf-8")


@pytest.mark.parametrize("kept", [{"model": "m"}, {"rollout": {}}, {"rollout": None, "learner": {"precision": "fp32"}}])
def test_a_file_of_settings_may_lack_the_formats(monkeypatch: pytest.MonkeyPatch, kept: dict[str, object]) -> None:
    given(monkeypatch, "AMX")
    config, _ = settle(load_config(None, CPU, {}), kept)
    learner = "fp32" if "learner" in kept else "autocast"
    assert (config.rollout.dtype, config.learner.precision) == ("bfloat16", learner)


def test_products_are_timed_with_the_threads_that_engine_and_learner_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))  # fewer than the machine may have
    seen: dict[str, int] = {}

    def measured(config: object, settings: dict[str, int], where: str) -> Figures:
        seen.update(settings)
        return Figures(*MACHINES["AVX2"][:2])

    monkeypatch.setattr(formats, "_measured", measured)
    monkeypatch.setattr(formats, "cache_directory", lambda: Path("/proc/nothing/models"))
    for ranks, threads in ((1, 0), (2, 4), (9, 0)):
        config = load_config(None, [*CPU, "--learner.ranks", str(ranks), "--rollout.cpu_threads", str(threads)], {})
        formats.figures(config)
        engine, learner = engine_environment(config.rollout), learner_environment(cuda=False, ranks=ranks)
        assert str(seen["engine_threads"]) == engine["OMP_NUM_THREADS"] == str(threads or 6)
        assert str(seen["learner_threads"]) == learner["OMP_NUM_THREADS"] == str(max(1, 6 // ranks))


@pytest.mark.parametrize("busy", [0, 1, 9])
def test_what_was_timed_beside_others_is_timed_again_and_the_best_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, busy: int
) -> None:
    """A product that stalls is many times slower than it is, and the choice is kept for good."""
    rates = iter([(6.5, 11.0), (90.0, 11.5), (50.0, 11.7)])
    worked, clock = [0.0], [0.0]

    def timed(config: object, settings: object) -> tuple[dict[str, dict[str, float]], float]:
        fp32, autocast = next(rates)
        attempts.append(fp32)
        clock[0] += 2.0
        worked[0] += 3.0 + (1.0 if len(attempts) <= busy else 0.1)  # of which the measuring program's are 3
        return {"engine": {"float32": 1.0}, "learner": {"fp32": fp32, "autocast": autocast}}, 3.0

    attempts: list[float] = []
    monkeypatch.setattr(formats, "_timed", timed)
    monkeypatch.setattr(formats.machine, "busy_seconds", lambda: worked[0])
    monkeypatch.setattr(formats.machine, "cores", lambda: 2)
    monkeypatch.setattr(formats.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(formats, "cache_directory", lambda: tmp_path / "models")
    found = formats.figures(load_config(None, CPU, {}))
    assert len(attempts) == min(busy + 1, formats.ATTEMPTS)
    assert found.learner == {0: {"fp32": 6.5, "autocast": 11.0}, 1: {"fp32": 90.0, "autocast": 11.5},
                             9: {"fp32": 90.0, "autocast": 11.7}}[busy]  # fmt: skip


def test_another_instruction_set_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in formats.RESTRICTING:
        monkeypatch.delenv(name, raising=False)
    before = machine_identity()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert machine_identity() != before
    assert before["cpu"] and before["cores"] >= 1


def test_the_library_restricted_to_avx2_is_measured_once(tmp_path: Path) -> None:
    """The real measurement, in a process of its own. What it finds depends on the machine; that it finds does not."""
    code = "import json; from stepcoder.deploy.checks.formats import *\n"
    code += "from stepcoder.deploy.config.load import load_config\n"
    code += f"config, notes = settle(load_config({str(ROOT / 'configs/starter.yaml')!r}, [], {{}}))\n"
    code += "print(json.dumps([config.rollout.dtype, config.learner.precision, *notes]))"
    restricted = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "STEPCODER_CACHE": str(tmp_path)}
    environment = os.environ | restricted | {"PYTHONPATH": str(ROOT)}
    answers = []
    for _ in range(2):
        result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        answers.append(json.loads(result.stdout))
    (kept,) = (tmp_path / "formats").iterdir()
    written = json.loads(kept.read_text(encoding="utf-8"))
    assert answers[0] == answers[1]  # the second time from the file
    assert written["machine"]["restricted"]["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    found = Figures(**written["figures"])
    assert answers[0][:2] == [engine_format(found), learner_format(found)]
    assert all(rate > 0 for rates in (found.engine, found.learner) for rate in rates.values())


@pytest.mark.parametrize("slow_rounds", [1, 2], ids=["threads and kernels start", "another process takes the core"])
def test_a_format_that_is_slow_in_its_first_rounds_alone_is_timed_again(
    monkeypatch: pytest.MonkeyPatch, slow_rounds: int
) -> None:
    clock, slow = [0.0], iter([0.3] * slow_rounds)
    monkeypatch.setattr(products.time, "perf_counter", lambda: clock[0])

    def takes(seconds: float) -> None:
        clock[0] += seconds

    found = products.rates({"first": lambda: takes(next(slow, 0.01)), "second": lambda: takes(0.02)}, 1e9)
    assert found == {"first": 100.0, "second": 50.0}
