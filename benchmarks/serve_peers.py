"""Another server's way to run a program, as the peer of benchmarks.serve: an interpreter a request.

python -m benchmarks.serve_peers [OPTION of python ...]
"""

import asyncio
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def fresh_interpreter(request: Request) -> JSONResponse:
    """As SandboxFusion's run_python: bash runs the interpreter on a file in a folder made for it."""
    asked, command = await request.json(), request.app.state.command
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "main.py")
        file.write_text(asked["code"], encoding="utf-8")
        process = await asyncio.create_subprocess_shell(
            f"{command} {file}", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=folder, executable="/bin/bash",
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(asked["stdin"].encode()), asked["run_timeout"])
    run = {"status": "Finished", "return_code": process.returncode, "stdout": out.decode(), "stderr": err.decode()}
    return JSONResponse({"status": "Success", "run_result": run})


def main() -> None:
    app = Starlette(routes=[Route("/run_code", fresh_interpreter, methods=["POST"])])
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, symlinks=True)
        app.state.command = f"{folder}/bin/python {' '.join(sys.argv[1:])}"
        uvicorn.run(app, port=0, access_log=False, http="httptools")


if __name__ == "__main__":
    main()
