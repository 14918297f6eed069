"""Ray nodes on this machine whose disks no other node sees: a mount namespace each, with one folder in common."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.tools.loop import ROOT
from tests.tools.patience import until
from tests.tools.ports import free_port

# Nothing is seen but `shared`, a copy of `given`, and what is installed, which cannot be written.
_APART = """
set -e
shared=$1 given=$2 installed=$PWD; shift 2
mount -t tmpfs kept /mnt
mkdir /mnt/shared /mnt/installed
mount --bind "$shared" /mnt/shared
mount --bind "$installed" /mnt/installed
cp -r "$given" /mnt/given
for disk in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 island "$disk"; done
mkdir -p "$shared" "$given" "$installed" /tmp/home
mount --move /mnt/shared "$shared"
mount --move /mnt/installed "$installed"
mount -o remount,bind,ro "$installed"
cp -r /mnt/given/. "$given"
cd "$installed"
HOME=/tmp/home exec "$@"
"""


def can_be_made() -> bool:
    """Whether this process may make mount namespaces."""
    words = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "probe", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(words, capture_output=True, check=False).returncode == 0


class Islands:
    """A Ray cluster whose nodes have `shared` in common, and each a copy of the folder `given`."""

    def __init__(self, shared: Path, given: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = os.environ | {
            "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0", "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }  # fmt: skip
        self._shared = shared
        self._apart = ["unshare", "--mount", "--propagation", "private", "bash", "-c", _APART, "island", shared, given]
        self.nodes: list[subprocess.Popen[bytes]] = []

    def start(self, count: int) -> None:
        self._add("--head", f"--port={self.address.split(':')[1]}", "--include-dashboard=false")
        for _ in range(1, count):
            self._add(f"--address={self.address}")

    def _add(self, *words: str) -> None:
        number = len(self.nodes) + 1
        ports = [f"--{name}-worker-port=0" for name in ("min", "max")]
        command = ["ray", "start", "--block", "--num-cpus=2", f"--node-ip-address=127.0.0.{number}", *ports, *words]
        log = self._shared / f"node-{number}.log"
        with log.open("wb") as file:
            node = subprocess.Popen(
                [*self._apart, *command], cwd=ROOT, env=self.environment, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip
        self.nodes.append(node)
        until(lambda: "Ray runtime started" in log.read_text() or node.poll() is not None, log.read_text)
        assert node.poll() is None, log.read_text()

    def run(self, *words: str) -> tuple[int, str, list[set[str]]]:
        """A command on the first node: its exit status, what it printed, and which actors each node had meanwhile."""
        inside = ["nsenter", f"--mount=/proc/{self.nodes[0].pid}/ns/mnt", f"--wd={ROOT}", *words]
        seen: list[set[str]] = [set() for _ in self.nodes]
        log = self._shared / "command.log"
        with log.open("w") as file:
            process = subprocess.Popen(inside, env=self.environment, stdout=file, stderr=file)
        try:
            until(lambda: self._looked(process, seen), lambda: f"no end of {words}; seen: {seen}")
        finally:
            process.kill()
            process.wait()
        return process.returncode, log.read_text(), seen

    def _looked(self, process: "subprocess.Popen[bytes]", seen: list[set[str]]) -> bool:
        for node, titles in zip(self.nodes, seen, strict=True):
            for child in psutil.Process(node.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    titles.update(word for word in child.cmdline()[:1] if word.startswith("ray::"))
        return process.poll() is not None

    def close(self) -> None:
        family = [child for node in self.nodes for child in psutil.Process(node.pid).children(recursive=True)]
        for node in reversed(self.nodes):
            node.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(family, timeout=60)
        for process in left:
            process.kill()
        for node in self.nodes:
            node.wait()
