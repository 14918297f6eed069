"""What commands share that listen for others: who may ask, and under which address."""

import errno
import ipaddress
import os
import secrets
import sys
from pathlib import Path

from stepcoder.errors import UserError


def access_token(file: Path | None, host: str, variable: str, how: str) -> str | None:
    """The token that clients have to send: of a file, of an environment variable, else a new one, which is printed.

    None on loopback where none is given. `how` says how clients send it.
    """
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--token-file {file}: cannot be read ({error})") from None
        if not token:
            raise UserError(f"--token-file {file}: the file is empty")
        return token
    if token := os.environ.get(variable, "").strip():
        return token
    if is_loopback(host):
        return None
    token = secrets.token_urlsafe(24)
    print(f"stepcoder: token {token}  ({how})", file=sys.stderr)
    return token


def refused(host: str, port: int, error: OSError) -> UserError:
    option = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
    return UserError(f"cannot listen on {host} port {port}: {error.strerror or error}. Give another {option}")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
