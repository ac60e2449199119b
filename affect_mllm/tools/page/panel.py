"""What is shown of a checkpoint's answer, as HTML."""

from __future__ import annotations

from markupsafe import Markup

from affect_mllm.tools.page.gates import gate_bars
from affect_mllm.tools.page.shares import shares_list
from affect_mllm.tools.page.turn import Told
from affect_mllm.tools.page.wheel import wheel

PRIVACY = Markup(
    '<p class="privacy">Faces and voices are personal data: show only people who agreed to it. The '
    "EU AI Act (Regulation 2024/1689, article 5) forbids inferring emotions of people at work and "
    "in schools. An upload is deleted as soon as it is read, what was read of it is kept in memory "
    "until the page is closed, and nothing leaves this machine.</p>"
)
READINGS = {"face": "pictures", "frame": "pictures", "image": "picture", "audio": "voice",
            "text": "words"}  # fmt: skip


def answer_of(told: Told) -> Markup:
    """The answer's words so far, and of what they were said once that is known."""
    used = ", ".join(dict.fromkeys(READINGS.get(each, each) for each in told.modalities))
    made = Markup('<p class="used">Answered from {}.</p>').format(used) if used else ""
    return Markup(
        '<div class="answer" aria-live="polite" data-finished="{}"><p>{}</p>{}</div>'
    ).format(str(told.is_finished).lower(), told.answer or "…", made)


def findings_of(told: Told) -> Markup:
    """Labels on the wheel and as bars, and the gates' weights; empty while they are not known."""
    if not told.is_finished:
        return Markup("")
    return Markup("{}<h4>Gate weights by modality</h4>{}").format(
        labels_of(told), gate_bars(told.gate)
    )


def reading_line(name: str) -> Markup:
    """That an upload is being read."""
    return Markup('<p class="status" role="status">Reading {} …</p>').format(name)


def labels_of(told: Told) -> Markup:
    """The wheel beside the list of labels, or why there is none."""
    if told.problem:
        return problem_box(told.problem)
    if not told.shares and not told.named:
        return Markup("")
    legend = (
        "Dots are marked as the labels beside; outer rings are stronger, the middle is neutral."
    )
    if told.named:
        legend += " The answer says what is ringed; letters are words that it says besides."
    if told.before is not None:
        legend += " A mark on a bar is where it was with everything."
    return Markup(
        '<h4>Labels on the emotion wheel</h4><div class="labels">{}{}</div><p class="legend">{}</p>'
    ).format(
        wheel(told.shares, named=told.named),
        shares_list(told.shares, before=told.before, named=told.named),
        legend,
    )


def problem_box(message: str) -> Markup:
    """An error's message, as the command line prints it; nothing where there is none."""
    return (
        Markup('<pre class="problem" role="alert">{}</pre>').format(message)
        if message
        else Markup("")
    )
