"""Where this package is, and where a process finds what has a name."""

from pathlib import Path
from typing import Protocol

IMPORT_ROOT = Path(__file__).resolve().parent.parent  # what has to be on sys.path for `import stepcoder`


def source_tree() -> Path | None:
    """The repository that this package is used from; None where it is installed without one."""
    return IMPORT_ROOT if (IMPORT_ROOT / "pyproject.toml").is_file() else None


class Located(Protocol):
    """Something that every machine has in a place of its own."""

    def here(self) -> Path:
        """Where this machine has it; may fetch it first."""
        ...


def local(directory: str | Located) -> str:
    """The directory as this machine has it."""
    return directory if isinstance(directory, str) else str(directory.here())
