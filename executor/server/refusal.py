"""What a client is told when its request is not served."""

from starlette.responses import JSONResponse


class Refused(Exception):
    """An answer other than a result: status, a text that says what to do, further headers."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.text}, self.status, self.headers)
