"""Why a request gets no answer: a status, and OpenAI's error object."""

from __future__ import annotations

from typing import Any

from affect_mllm.types import AffectError, CheckpointError

INTERNAL = "the server failed at this request; its log says why"


class Refusal(Exception):
    """A request that is not answered; `status` is HTTP's, `code` what OpenAI's clients look at."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.message = status, message
        self.code, self.param, self.headers = code, param, headers or {}
        super().__init__(message)

    def body(self) -> dict[str, Any]:
        """The object that OpenAI's clients read."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        told = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": told}


def refusal(error: Exception) -> Refusal:
    """What a client is told of an error: a user's own mistake in the command line's words, of
    anything else that it happened.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, AffectError) and not isinstance(error, CheckpointError):
        return Refusal(400, str(error), param=error.where)
    return Refusal(500, INTERNAL)
