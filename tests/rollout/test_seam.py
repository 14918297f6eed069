"""Nothing of vLLM outside its folder: the rest of the code knows `rollout.engine` alone."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("executor", "curriculum", "rollout", "learner", "deploy", "stepcoder")
MAY_NAME_IT = {
    "rollout/config.py": "the choice of an engine",
    "rollout/engine.py": "how its log-probabilities differ on a GPU",
    "rollout/engines.py": "the table of engines",
    "deploy/checks/doctor.py": "is it installed",
    "deploy/checks/nodes.py": "is it the same on all nodes, and built for GPUs",
    "deploy/config/moved.py": "the engine of runs that had no choice",
    "deploy/run/checkpoint.py": "the versions that wrote a checkpoint",
    "deploy/checks/starter_model.py": "what loads a converted model",
    "deploy/cli.py": "what loads an exported model",
    "deploy/commands/export.py": "what loads an exported model",
    "deploy/run/export.py": "what loads an exported model",
}


def test_vllm_is_named_in_its_folder_and_where_it_is_chosen() -> None:
    files = {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
        for package in PACKAGES
        for file in sorted((ROOT / package).rglob("*.py"))
    }
    named = {name for name, text in files.items() if "vllm" in text.lower() and "rollout/vllm/" not in name}
    assert named == set(MAY_NAME_IT)
