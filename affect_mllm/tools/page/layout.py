"""The page's parts in Gradio, and what happens when they are used.

Imported only by the command: Gradio takes seconds. Its handlers find a request by its annotation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from markupsafe import Markup

from affect_mllm.eval.generate.views import ALL
from affect_mllm.log import LOGGER
from affect_mllm.tools.page.panel import PRIVACY, answer_of, findings_of, problem_box, reading_line
from affect_mllm.tools.page.pictures import what_was_read
from affect_mllm.tools.page.sessions import Sessions
from affect_mllm.tools.page.turn import Asked, Told
from affect_mllm.types import AffectError

TITLE = "affect_mllm"
SWITCHES = tuple(zip(("Pictures", "Voice", "Words"), ALL, strict=True))
# Only one at a time: all pages share the machine and the checkpoints.
DELETED_S = (60, 600)  # how often, and how old: uploads whose page was closed before they were read
ALONE: dict[str, Any] = {
    "concurrency_id": "model",
    "concurrency_limit": 1,
    "api_visibility": "private",
    "show_progress": "hidden",
}


class Sources(NamedTuple):
    """Where a clip comes from."""

    file: gr.File
    camera: gr.Video
    microphone: gr.Audio


class Form(NamedTuple):
    """What is asked, in the order of `Handlers.ask`."""

    question: gr.Dropdown
    labels: gr.Textbox
    words: gr.Textbox
    kinds: gr.CheckboxGroup


class Panel(NamedTuple):
    """What is shown of one checkpoint."""

    answer: gr.HTML
    findings: gr.HTML
    read: gr.HTML


def page(sessions: Sessions) -> gr.Blocks:
    """The page that asks the checkpoints of `sessions`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=DELETED_S) as blocks:
        gr.HTML(f"<h1>{TITLE}</h1>{PRIVACY}")
        with gr.Row():
            with gr.Column(min_width=320):
                sources = _sources(sessions)
            with gr.Column(min_width=320):
                form, button = _form(sessions)
        problem = gr.HTML(elem_id="problem")
        with gr.Row():
            panels = [_panel(name, f"panel{at}") for at, name in enumerate(sessions.models)]
        handlers = Handlers(sessions)
        _connect(handlers, sources, form, button, [problem, *chain(*panels)])
        blocks.unload(handlers.forget)
    return blocks


class Handlers:
    """What happens on a page; each gives the problem's box and then every panel's parts."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def read(self, path: str | None, request: gr.Request) -> Iterator[list[Any]]:
        """Show what was read of an upload, in place of the last clip's answers.

        The source is emptied at once: a recorder would play a file that is deleted.
        """
        nothing = [""] * (len(Panel._fields) * len(self.sessions.models))
        if path is None:
            return
        yield [reading_line(Path(path).name), *nothing, None]
        try:
            looked = self.sessions.read(str(request.session_hash), Path(path))
        except AffectError as error:
            yield [problem_box(str(error)), *nothing, None]
        else:
            parts = chain(*(("", "", what_was_read(each)) for each in looked.values()))
            yield ["", *parts, None]

    def ask(
        self, question: str | None, labels: str, words: str, kinds: list[str], request: gr.Request
    ) -> Iterator[list[Any]]:
        """Show answers and findings as they come."""
        asked = Asked(question or "", listed(labels), words.strip() or None, frozenset(kinds))
        told: dict[str, Told] = {}
        try:
            for told in self.sessions.ask(str(request.session_hash), asked):
                yield ["", *self._shown(told)]
        except AffectError as error:
            yield [problem_box(str(error)), *self._shown(told)]

    def ask_again(
        self, question: str | None, labels: str, words: str, kinds: list[str], request: gr.Request
    ) -> Iterator[list[Any]]:
        """The same where something was asked before: a switch answers at once."""
        if self.sessions.is_asked(str(request.session_hash)):
            yield from self.ask(question, labels, words, kinds, request)

    def forget(self, request: gr.Request) -> None:
        """The page was closed."""
        self.sessions.forget(str(request.session_hash))
        LOGGER.info("a page was closed, its clip is forgotten")

    def _shown(self, told: Mapping[str, Told]) -> list[Any]:
        """Each panel's parts."""
        return [*chain(*(_parts(told.get(name)) for name in self.sessions.models))]


def _parts(told: Told | None) -> tuple[Any, ...]:
    """Those of a Panel, empty until its checkpoint says something; what was read stays."""
    said = ("", "") if told is None else (answer_of(told), findings_of(told))
    return *said, gr.skip()


def listed(labels: str) -> tuple[str, ...]:
    """The labels of a line with commas between them, each once."""
    return tuple(dict.fromkeys(each for part in labels.split(",") if (each := part.strip())))


def _sources(sessions: Sessions) -> Sources:
    """Upload, camera and microphone, with their bounds."""
    most = f"at most {sessions.bounds.mib:g} MiB and {sessions.bounds.seconds:g} s"
    with gr.Tab("Upload"):
        file = gr.File(label=f"Video, photo or sound, {most}", elem_id="file", height=150)
    with gr.Tab("Camera"):
        camera = gr.Video(
            label=f"Record a video, {most}",
            sources=["webcam"],
            webcam_options=gr.WebcamOptions(mirror=False),  # mirroring would ask for ffmpeg,
            include_audio=True,  # as would taking the sound away
            height=260,
            elem_id="camera",
        )
    with gr.Tab("Microphone"):
        microphone = gr.Audio(
            label=f"Record a voice, {most}",
            sources=["microphone"],
            type="filepath",
            elem_id="microphone",
        )
    return Sources(file, camera, microphone)


def _form(sessions: Sessions) -> tuple[Form, gr.Button]:
    """Question, labels, words and switches, with what the first checkpoint usually is asked."""
    first = next(iter(sessions.models.values()))
    closed = first.closed()
    questions = [words for words, _ in first.usual().values()]
    question = gr.Dropdown(
        questions,
        value=questions[0] if questions else "",
        label="Question",
        allow_custom_value=True,
        elem_id="question",
    )
    words = gr.Textbox(label="What is said (may stay empty)", elem_id="words")
    kinds = gr.CheckboxGroup(
        list(SWITCHES), value=list(ALL), label="What the model may use", elem_id="kinds"
    )
    labels = gr.Textbox(
        value=", ".join(closed.allowed if closed else ()),
        label="Labels to compare, with commas between them",
        elem_id="labels",
    )
    button = gr.Button("Ask", variant="primary", elem_id="ask")
    return Form(question, labels, words, kinds), button


def _panel(name: str, place: str) -> Panel:
    with gr.Column(min_width=320, elem_id=place):
        gr.HTML(Markup('<h2 class="checkpoint">{}</h2>').format(name))
        return Panel(gr.HTML(), gr.HTML(), gr.HTML())


def _connect(
    handlers: Handlers, sources: Sources, form: Form, button: gr.Button, shown: list[gr.HTML]
) -> None:
    """Which handler answers to what."""
    for source, event in zip(sources, ("upload", "stop_recording", "stop_recording"), strict=True):
        getattr(source, event)(handlers.read, source, [*shown, source], **ALONE)
    button.click(handlers.ask, [*form], shown, **ALONE)
    form.words.submit(handlers.ask, [*form], shown, **ALONE)
    form.kinds.change(handlers.ask_again, [*form], shown, trigger_mode="always_last", **ALONE)
