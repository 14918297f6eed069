"""`--help`: at once, without a large library, and no more than was asked for."""

import subprocess
import sys

import pytest

from stepcoder.deploy.cli import main
from tests.deploy.test_cli import ROOT, refused
from tests.tools.patience import HANG_S


def heavy_imports(*arguments: str) -> tuple[set[str], str]:
    """Which of the large libraries a command that ends by itself imports, and what it prints."""
    code = (
        "import sys\nfrom stepcoder.deploy.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(*{'torch', 'ray', 'vllm', 'deepspeed', 'transformers', 'numpy'} & set(sys.modules), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.split()), result.stdout


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    heavy, shown = heavy_imports("--help")
    assert not heavy
    for command in ("train", "eval", "doctor", "export"):
        assert f"    {command} " in shown


def test_train_help_explains_every_setting_and_imports_nothing_heavy() -> None:
    heavy, shown = heavy_imports("train", "--help", "all")
    assert heavy <= {"numpy"}
    assert "--learner.policy.lr" in shown and "default 5e-07" in shown


@pytest.mark.parametrize("command", ["train", "sft"])
def test_help_is_a_page_that_names_the_sections(command: str) -> None:
    _, shown = heavy_imports(command, "--help")
    assert len(shown.splitlines()) < 70 and "learner.policy " in shown and "--help SECTION" in shown
    assert "--learner.policy.lr  " not in shown


def test_help_of_a_section_or_a_setting_shows_it_alone() -> None:
    _, loss = heavy_imports("train", "--help", "learner.loss")
    assert "--learner.loss.clip_high" in loss and "--learner.loss.normalizer" in loss and "learner.kl" not in loss
    _, lr = heavy_imports("train", "--help", "learner.policy.lr")
    assert "Peak learning rate" in lr and len(lr.splitlines()) == 2
    assert "--algorithm" in heavy_imports("train", "--help", "top")[1]
    assert "did you mean learner.loss?" in refused("train", "--help", "learner.los")
    assert "there are top, data, run" in refused("sft", "--help", "elsewhere")


@pytest.mark.parametrize("words", [["train"], ["train", "all"], ["sft", "learner"], ["eval"]])
@pytest.mark.parametrize("columns", ["1", "30"])
def test_help_is_whole_in_a_terminal_of_any_width(
    words: list[str], columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit) as ended:
        main([words[0], "--help", *words[1:]])
    assert ended.value.code == 0 and capsys.readouterr().out
