"""Where this package is."""

from pathlib import Path

IMPORT_ROOT = Path(__file__).resolve().parent.parent  # what has to be on sys.path for `import stepcoder`


def source_tree() -> Path | None:
    """The repository that this package is used from; None where it is installed without one."""
    return IMPORT_ROOT if (IMPORT_ROOT / "pyproject.toml").is_file() else None
