"""What this machine has: cores, memory, GPUs, packages, ports. Read from the system, without importing torch or Ray."""

import contextlib
import os
import platform
import shutil
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stepcoder.rollout.threads import cores as cores

GIB = 1024**3
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_CGROUP_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def processor() -> tuple[str, str]:
    """Name of the CPU and its instruction-set flags, of its first core."""
    found: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine(), ""
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    arm = " ".join(found[key] for key in ("CPU implementer", "CPU part") if key in found)
    name = found.get("model name") or f"{platform.machine()} {arm}".strip()
    return name, found.get("flags") or found.get("Features", "")


def busy_seconds() -> float:
    """Processor seconds that the machine's cores have worked, or were kept from it by a host, since it started."""
    ticks = [int(n) for n in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    idle, waiting = ticks[3:5]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def _meminfo(name: str) -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _first_number(paths: tuple[str, ...]) -> int | None:
    for path in paths:
        try:
            return int(Path(path).read_text(encoding="ascii"))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return None


def memory_total() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's limit."""
    limit = _first_number(_CGROUP_LIMITS)
    total = _meminfo("MemTotal")
    return min(total, limit) if limit else total


def memory_available() -> int:
    """Bytes that new processes can have now without swapping."""
    limit, used = _first_number(_CGROUP_LIMITS), _first_number(_CGROUP_USED)
    available = _meminfo("MemAvailable")
    return min(available, max(0, limit - used)) if limit and used is not None else available


def shared_memory_free() -> int:
    """Free bytes of /dev/shm, where Ray's object store lives; 0 when there is none."""
    try:
        return shutil.disk_usage("/dev/shm").free
    except OSError:
        return 0


def gpus() -> list[str]:
    """Names of the GPUs that this process may use; empty without a driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return []
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    found = [line.strip().split(", ", 2) for line in answer.stdout.splitlines() if line.strip()]
    chosen = found if visible is None else _named(found, visible)
    return [about for _, _, about in chosen]


def _named(found: list[list[str]], visible: str) -> list[list[str]]:
    """Those that CUDA_VISIBLE_DEVICES names, by index or by the beginning of a UUID; it ends with the first unknown."""
    chosen = []
    for name in map(str.strip, visible.split(",")):
        match = [gpu for gpu in found if gpu[0] == name or (name and gpu[1].startswith(name))]
        if not match and not name.startswith("MIG-"):  # a part of a GPU, which is not listed
            break
        chosen.append((match or found)[0])
    return chosen


def gpu_memory() -> list[float]:
    """Bytes of each GPU that this process may use. One that shares the machine's memory names none of its own."""
    sizes = [line.rpartition(",")[2].split()[0] for line in gpus()]
    return [float(size) * 1024**2 if size[0].isdigit() else float(memory_total()) for size in sizes]


def package_version(*names: str) -> str | None:
    """Of the first of these distributions that is installed; None where none is."""
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            return version(name)
    return None


def port_in_use(host: str, port: int) -> bool:
    """Whether something listens there already, or another reason keeps us from binding it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def reachable(host: str, port: int, timeout_s: float = 3.0) -> bool:
    """Whether something answers a TCP connection there within the deadline."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False
