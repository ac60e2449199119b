"""The body of a request, in OpenAI's form: what is read of it, and what is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError

from affect_mllm.types import ConfigError

# What says nothing of the answer.
_IDLE = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
# What says no more than if it were not there; so does what is empty, false or 0.
_NEUTRAL: dict[str, Any] = {
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "repetition_penalty": 1,
    "response_format": {"type": "text"},
    "tool_choice": "none",
    "top_k": -1,
}
_SHOWN = 60


class _Form(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


def _plain_url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


class Url(_Form):
    """Where a medium is: `data:…;base64,…`, or a file of a host that is admitted."""

    url: str
    detail: str | None = None  # of OpenAI's own pictures: a checkpoint has one size


class Sound(_Form):
    """A sound itself, in base64, and what kind of file it is."""

    data: str
    format: Annotated[str, Field(pattern=r"^[\w.+/-]{1,32}$")]


Where = Annotated[Url, BeforeValidator(_plain_url)]


class TextPart(_Form):
    """Words."""

    type: Literal["text"]
    text: str


class ImagePart(_Form):
    """A picture."""

    type: Literal["image_url"]
    image_url: Where


class VideoPart(_Form):
    """A clip, with its sound."""

    type: Literal["video_url"]
    video_url: Where


class AudioPart(_Form):
    """A sound by its URL."""

    type: Literal["audio_url"]
    audio_url: Where


class SoundPart(_Form):
    """A sound itself."""

    type: Literal["input_audio"]
    input_audio: Sound


UrlPart = ImagePart | VideoPart | AudioPart
MediaPart = UrlPart | SoundPart
Part = Annotated[TextPart | MediaPart, Field(discriminator="type")]


def _parts(value: Any) -> Any:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


class Message(_Form):
    """One turn; a text alone is one part."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[Part], BeforeValidator(_parts)]


class StreamOptions(_Form):
    """What a stream has besides the answer."""

    include_usage: bool = False


class Body(_Form):
    """A request. `subtitle` is ours: what is said in the clip, or `auto`, as `predict` takes it."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: PositiveInt | None = None
    max_completion_tokens: PositiveInt | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    n: int | None = None
    subtitle: str | None = None


def read_body(text: bytes) -> Body:
    """The request in `text`. ConfigError naming what is wrong with it, or is not done here."""
    try:
        body = Body.model_validate_json(text)
    except ValidationError as error:
        raise _wrong(error) from error
    if body.n not in (None, 1):
        raise ConfigError("n", str(body.n), expected="1: one answer to a request")
    _refuse_more("", body)
    _refuse_more("stream_options.", body.stream_options)
    for number, message in enumerate(body.messages):
        where = f"messages.{number}."
        _refuse_more(where, message)
        for place, part in enumerate(message.content):
            at = f"{where}content.{place}."
            _refuse_more(at, part)
            if not isinstance(part, TextPart):
                _refuse_more(f"{at}{part.type}.", getattr(part, part.type))
    return body


def _wrong(error: ValidationError) -> ConfigError:
    found = error.errors(include_url=False)[0]
    # A part's place has its type in it, which a path in the body has not.
    kinds = {"text", "image_url", "video_url", "audio_url", "input_audio"}
    places = [str(place) for place in found["loc"]]
    path = [p for n, p in enumerate(places) if p not in kinds or places[n - 1] in kinds]
    given = repr(found["input"]) if path else "no JSON object"
    shown = given if len(given) <= _SHOWN else given[:_SHOWN] + "…"
    got = "missing" if found["type"] == "missing" else shown
    return ConfigError(
        ".".join(path) or "body", got, expected=found["msg"].removeprefix("Input should be ")
    )


def _refuse_more(where: str, form: BaseModel | None) -> None:
    """ConfigError for a key that would change the answer, if it were heeded."""
    more: Mapping[str, Any] = (form.model_extra if form else None) or {}
    for key, value in more.items():
        if value and key not in _IDLE and _NEUTRAL.get(key) != value:
            raise ConfigError(
                f"{where}{key}", repr(value)[:_SHOWN], expected="nothing: it is not heeded here"
            )
