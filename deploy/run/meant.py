"""What a path means that is given where a run is asked for: a checkpoint in a run, or a place beside one."""

from stepcoder.deploy.run.checkpoint import POLICY
from stepcoder.deploy.run.directory import begun, local_part
from stepcoder.deploy.run.listing import run_places

_LISTED = 3  # runs


def split(place: str) -> tuple[str, int | None]:
    """The run, and the step, of RUN/checkpoints/step-N (path or URI); else `place` itself, and no step."""
    run, folder, name = place.rstrip("/").rpartition("checkpoints/step-")
    if folder and name.isdigit() and (not run or run.endswith("/")):
        return run.rstrip("/") or "/"[: len(run)] or ".", int(name)
    return place, None


def meant(place: str) -> str:
    """Where no run is: the run around it, the model that it is, or the runs below it, as a sentence; or nothing."""
    if "://" in place:
        return ""
    path = local_part(place)
    if around := next((folder for folder in path.parents if begun(str(folder))), None):
        return f" It is in the run {around}."
    if model := next((folder for folder in (path, path / POLICY) if (folder / "config.json").is_file()), None):
        return f" {model} is a model: 'stepcoder eval --model {model}' evaluates it."
    if (below := run_places(place)) == [str(path)]:
        return f" {path} is a run that has not come to its first checkpoint, or has none any more."
    if below:
        more = ", ..." if len(below) > _LISTED else ""
        return f" Runs below it: {', '.join(below[:_LISTED])}{more}."
    return ""
