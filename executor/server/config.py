"""Settings of the server. Units are in the names; every default has its home here."""

from pydantic import BaseModel, ConfigDict, Field


class ServeConfig(BaseModel):
    """Where it listens, and what one client may take of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on; any but a loopback address needs a token."""

    port: int = Field(default=8060, ge=0, le=65535)
    """Port to listen on; 0: one that is free."""

    body_mib: int = Field(default=16, ge=1, le=1024)
    """Body of one request (MiB); a larger one is answered with 413."""

    bodies_mib: int = Field(default=512, ge=1)
    """Bodies of all requests under way (MiB); beyond that the answer is 429."""

    waiting: int = Field(default=1024, ge=1)
    """Programs that run or wait (count); beyond that the answer is 429 with Retry-After."""

    head_s: float = Field(default=10.0, gt=0)
    """For the head of a request, from the first byte, or from connecting (seconds)."""

    body_s: float = Field(default=30.0, gt=0)
    """For the body of a request (seconds); then the answer is 408."""

    send_s: float = Field(default=30.0, gt=0)
    """In which a client has to take something of its answer (seconds); else it is cut off."""

    idle_s: int = Field(default=60, ge=1)
    """For the next request on a connection (seconds)."""

    drain_s: int = Field(default=150, ge=1)
    """After a request to stop, for what is under way (seconds)."""
