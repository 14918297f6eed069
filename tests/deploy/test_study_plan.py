"""A study's file: what it means, and everything that is wrong with it at once."""

from pathlib import Path

import pytest
import yaml

from stepcoder.deploy.checks import preflight
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.deploy.study.check import check
from stepcoder.deploy.study.plan import Plan, load_plan, study_layer
from stepcoder.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "configs" / "study-starter.yaml"
GOOD = """\
config: {config}
directory: {directory}
seeds: 2
budget: {{tokens: 5000}}
settings: {{rollout: {{dtype: float32}}, learner: {{precision: fp32}}, curriculum: {{schedule: {{rho: 0.3}}}}}}
arms:
  ppo: {{curriculum: {{schedule: none}}, learner: {{credit: all}}}}
  both: {{learner: {{credit: fgo}}}}
  random: {{seeds: [1], learner: {{credit: {{type: random, compile_error: none}}}}}}
"""


def written(folder: Path, text: str = GOOD) -> Path:
    file = folder / "study.yaml"
    file.write_text(text.format(config=ROOT / "configs" / "starter.yaml", directory=folder / "out"))
    return file


def refused(file: Path) -> list[str]:
    with pytest.raises(UserError) as raised:
        check(load_plan(file))
    return str(raised.value).splitlines()


def test_runs_go_seed_by_seed_and_an_arm_may_have_fewer(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path))
    assert [trial.name for trial in plan.trials()] == [
        "ppo, seed 0", "both, seed 0", "ppo, seed 1", "both, seed 1", "random, seed 1",
    ]  # fmt: skip
    assert plan.trials()[0].path == tmp_path / "out" / "runs" / "ppo" / "seed-0"


@pytest.mark.parametrize("file", [None, SHIPPED], ids=["test", "shipped"])
def test_the_command_of_a_run_sets_what_the_file_says(tmp_path: Path, file: Path | None) -> None:
    plan = load_plan(file or written(tmp_path))
    for trial in plan.trials():
        command, _, config, *words = plan.line(trial, "my-model")
        told = load_config(config, words, {})
        meant = load_config(
            plan.config, [], {}, over=[trial.arm.layer, study_layer(plan, trial.seed, "my-model")]
        )  # fmt: skip
        there = meant.run.model_copy(update={"directory": str(trial.path)})
        assert command == "train" and told == meant.model_copy(update={"run": there})
        assert told.run.max_tokens == plan.budget.tokens and told.run.seed == trial.seed


def test_what_all_arms_have_in_common_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    preflight._told.cache_clear()
    with caplog.at_level("INFO", logger=preflight.log.name):
        check(load_plan(written(tmp_path)))
    assert sum("programs run at isolation level" in line for line in caplog.messages) == 1


def test_arms_are_differences_of_the_configuration(tmp_path: Path) -> None:
    configs = check(load_plan(written(tmp_path)))
    assert [configs[name].curriculum.schedule.type for name in configs] == ["none", "threshold", "threshold"]
    assert [configs[name].learner.credit.type for name in configs] == ["all", "fgo", "random"]
    assert configs["both"].model_dump()["curriculum"]["schedule"]["rho"] == 0.3
    assert not (tmp_path / "out").exists()


def test_all_faults_of_a_file_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = GOOD.replace("seeds: [1], ", "seeds: [7], ").replace("both: {{", "bo/th: {{run: {{seed: 3}}, ")
    with pytest.raises(UserError) as raised:
        load_plan(written(tmp_path, text))
    faults = str(raised.value).splitlines()
    assert len(faults) == 3
    assert "arm random: seeds [7] are not among the study's (0, 1)" in faults[2]
    assert "arm bo/th: a name has letters" in faults[0]
    assert "study.yaml, line 8: arm bo/th: run.seed is the study's: give seeds instead" in faults[1]


def test_all_bad_settings_of_all_arms_are_told_before_anything_starts(tmp_path: Path) -> None:
    text = GOOD.replace("credit: all", "credit: some").replace("credit: fgo", "credti: fgo")
    faults = refused(written(tmp_path, text))
    assert any("arm ppo: learner.credit" in fault and "line 7" in fault for fault in faults)
    assert any(fault.startswith("arm both: ") and "learner.credti" in fault and "line 8" in fault for fault in faults)


def test_what_a_study_cannot_work_with_is_refused_once_for_all_arms(tmp_path: Path) -> None:
    text = GOOD.replace("rollout: {{dtype: float32}}", "data: {{heldout: []}}")
    faults = refused(written(tmp_path, text))
    assert any(fault.startswith("all arms: rollout.dtype = auto") for fault in faults)
    assert any(fault.startswith("all arms: data.heldout is empty") for fault in faults)
    assert len(faults) == 2


def test_arms_that_run_elsewhere_are_checked_without_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: object) -> None:
        raise UserError("this machine will not do")

    monkeypatch.setattr(preflight, "check_sandbox", look)
    plan = load_plan(written(tmp_path))
    with pytest.raises(UserError, match="all arms: this machine will not do"):
        check(plan)
    assert len(check(plan, here=False)) == 3


def test_equal_arms_and_arms_with_other_evaluations_are_refused(tmp_path: Path) -> None:
    text = GOOD.replace("credit: fgo}}", "credit: all}}, curriculum: {{schedule: none}}, eval: {{samples: 3}}")
    assert any("arm both: eval.samples differs from arm ppo's" in fault for fault in refused(written(tmp_path, text)))
    same = text.replace(", eval: {{samples: 3}}", "")
    assert any("arm both is the same as arm ppo" in fault for fault in refused(written(tmp_path, same)))


def test_a_run_that_was_begun_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    file = written(tmp_path)
    plan = load_plan(file)
    begin(plan)
    check(plan)
    file.write_text(file.read_text().replace("tokens: 5000", "tokens: 6000").replace("credit: fgo", "credit: all"))
    faults = refused(file)
    assert any("both/seed-0 was begun with other settings: learner.credit.type" in fault for fault in faults)
    assert any("both/seed-0 was begun with other settings: run.max_tokens: 5000 -> 6000" in fault for fault in faults)
    assert faults[-1].startswith("Set them back")


def begin(plan: Plan) -> None:
    """What the second trial's run directory holds from its first moment on."""
    trial = plan.trials()[1]
    config = load_config(plan.line(trial, None)[2], plan.line(trial, None)[3:], {})
    trial.path.mkdir(parents=True)
    (trial.path / "config.yaml").write_text(yaml.safe_dump(config.settings()))


def test_unknown_keys_and_a_budget_of_both_kinds_are_refused(tmp_path: Path) -> None:
    text = GOOD.replace("seeds: 2", "seed: 2").replace("tokens: 5000", "tokens: 5000, minutes: 3")
    with pytest.raises(UserError) as raised:
        load_plan(written(tmp_path, text))
    said = str(raised.value)
    assert "seed: unknown; did you mean seeds?" in said and "budget: give tokens or minutes" in said


def test_the_shipped_study_begins_with_the_fine_tuning_beside_it() -> None:
    plan = load_plan(SHIPPED)
    assert plan.sft is not None
    fine_tuning = load_config(plan.sft, [], {}, root=SFTRunConfig)
    first = load_config(plan.config, [], {}, over=[plan.arms[0].layer, study_layer(plan, 0, None)])
    assert fine_tuning.curriculum.prompt == first.curriculum.prompt
    assert fine_tuning.data.levels == first.data.levels
