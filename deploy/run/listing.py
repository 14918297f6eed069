"""What runs there are below a directory, and how far each is: read from their files alone, without opening a run."""

import fcntl
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stepcoder.deploy.config.sources import read_kept
from stepcoder.deploy.run.checkpoint import named
from stepcoder.deploy.run.directory import CONFIG, local_part
from stepcoder.deploy.run.lock import LOCK
from stepcoder.deploy.run.manifest import MANIFEST, ManifestError, verify_sizes
from stepcoder.deploy.run.metrics import METRICS, read_metrics, tokens_generated
from stepcoder.deploy.run.remote import fetch, fetch_names
from stepcoder.errors import UserError

State = Literal["running", "finished", "stopped", "not begun"]
REPORT = "report.json"
DEPTH = 4  # folders down to a run: study/runs/ARM/seed-N is found from above the study


@dataclass(frozen=True, slots=True)
class Listed:
    """One run. `step` is the last that it took, `checkpoint` the step that it goes on from.

    0: it goes on from its beginning; None: all its checkpoints are damaged.
    """

    name: str
    state: State
    step: int
    steps: int | None
    checkpoint: int | None
    metrics: dict[str, Any]
    written: float
    """When its numbers were last written, as `time.time()` has it."""


def listed(directory: str) -> list[Listed]:
    """The runs at or below a path or URI, those written last first."""
    if "://" in directory:
        found = (_read_at(uri) for uri in _below(directory))
    else:
        found = (_read(Path(place), place) for place in run_places(directory))
    return sorted(filter(None, found), key=lambda run: -run.written)


def run_places(directory: str) -> list[str]:
    """Paths or URIs of the runs at or below one."""
    if "://" in directory:
        return _below(directory)
    return [str(folder) for folder in _folders(local_part(directory), DEPTH)]


def _folders(root: Path, depth: int) -> Iterator[Path]:
    if (root / CONFIG).is_file():
        yield root
    elif depth and root.is_dir():
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
            yield from _folders(folder, depth - 1)


def _below(uri: str) -> list[str]:
    """URIs of the runs at or below one."""
    names = [name for name in fetch_names(uri) if name.split("/")[-1] == CONFIG and name.count("/") <= DEPTH]
    return [f"{uri.rstrip('/')}/{name}".removesuffix(f"/{CONFIG}") for name in names]


def _read_at(uri: str) -> Listed | None:
    """Of its checkpoints the manifests alone are fetched."""
    with tempfile.TemporaryDirectory(prefix="stepcoder-runs-") as copy:
        fetch(uri, Path(copy), lambda name: name in (CONFIG, METRICS, REPORT) or name.endswith(f"/{MANIFEST}"))
        return _read(Path(copy), uri, complete=lambda path: (path / MANIFEST).is_file())


def _whole(checkpoint: Path) -> bool:
    try:
        return bool(verify_sizes(checkpoint))
    except (ManifestError, OSError):
        return False


def _read(folder: Path, name: str, complete: Callable[[Path], bool] = _whole) -> Listed | None:
    """None for settings of another program. `complete` looks at a checkpoint."""
    try:
        settings = read_kept(folder / CONFIG)
    except UserError:
        return None
    if not all(isinstance(settings.get(name, {}), dict) for name in ("run", "eval")):
        return None
    lines = list(read_metrics(folder / METRICS))
    step = max((line["step"] for line in lines), default=0)
    checkpoints = named(folder / "checkpoints")
    checkpoint = next((step for step, path in checkpoints if complete(path)), None if checkpoints else 0)
    steps = settings.get("run", {}).get("steps")
    state: State = "stopped" if lines or checkpoints else "not begun"
    if held(folder):
        state = "running"
    elif lines and checkpoint is not None and _finished(folder, settings, lines, checkpoint):
        state = "finished"
    last = next((line for line in reversed(lines) if "eval" not in line), {})
    file = folder / METRICS
    written = (file if file.is_file() else folder / CONFIG).stat().st_mtime
    return Listed(name, state, step, steps, checkpoint, last, written)


def _finished(folder: Path, settings: dict[str, Any], lines: list[dict[str, Any]], checkpoint: int) -> bool:
    """Whether nothing is left to do. A study deletes the checkpoints of such a run: then its report alone says so."""
    if not checkpoint and ended_by(folder) is not None:
        return True
    evaluated = any("eval" in line and line["step"] == checkpoint for line in lines)
    if settings.get("eval", {}).get("at_end", True) and not evaluated:
        return False
    steps, tokens = (settings.get("run", {}).get(name) for name in ("steps", "max_tokens"))
    if tokens is not None and tokens_generated(lines, checkpoint) >= tokens:
        return True
    return checkpoint >= steps if steps is not None else (folder / REPORT).is_file() and evaluated


def ended_by(folder: Path) -> str | None:
    """Which limit ended the run by itself: steps, tokens or minutes, as its report says; None where none did."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(report, dict):
        return None
    return report["ended"] if report.get("ended") in ("steps", "tokens", "minutes") else None


def held(folder: Path) -> bool:
    """Whether a driver lives that writes to it. At a URI there is no lock: that cannot be seen there."""
    try:
        with (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def told(run: Listed) -> str:
    """Where a run stands, for a person."""
    of = f" of {run.steps}" if run.steps is not None else ""
    if run.state in ("running", "finished"):
        return f"{run.state}, step {run.step}{of}"
    if run.state == "not begun":
        return "not begun"
    goes_on = "its checkpoints are damaged" if run.checkpoint is None else f"resumable at step {run.checkpoint}"
    return f"stopped at step {run.step}{of}, {goes_on}"


def ago(then: float) -> str:
    """How long ago that is, in its largest unit."""
    seconds = max(time.time() - then, 0)
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
