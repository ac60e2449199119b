"""What every open page has uploaded: read once, its file deleted, forgotten with the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from affect_mllm.tools.page.bounds import Bounds
from affect_mllm.tools.page.looked import Looked, look
from affect_mllm.tools.page.turn import Asked, Told, tell
from affect_mllm.types import DataError

if TYPE_CHECKING:
    from affect_mllm.tools.pipeline import Pipeline

KEPT = 8  # pages whose clips are held in memory at most, the latest ones


@dataclass
class Session:
    """One page's clip by checkpoint, and the shares of labels with everything that there is."""

    looked: dict[str, Looked]
    whole: dict[tuple[str, Asked], Mapping[str, float]] = field(default_factory=dict)
    is_asked: bool = False


@dataclass(frozen=True)
class Sessions:
    """The pages that are open, by their id, and the checkpoints (by name) that they ask."""

    models: Mapping[str, Pipeline]
    bounds: Bounds = field(default_factory=Bounds)
    held: dict[str, Session] = field(default_factory=dict)

    def read(self, page: str, path: Path) -> dict[str, Looked]:
        """What each checkpoint gets of an upload, which takes the place of the page's last one.

        The file is deleted, whatever comes of it. Raises DataError as the command line does, of
        the file by its name alone.
        """
        self.forget(page)
        try:
            self.bounds.check(path)
            looked = {name: look(model, path) for name, model in self.models.items()}
        except DataError as error:
            raise _by_name(error, path) from error
        finally:
            path.unlink(missing_ok=True)
        self._hold(page, Session(looked))
        return looked

    def ask(self, page: str, asked: Asked) -> Iterator[dict[str, Told]]:
        """What the checkpoints say, one after the other, as it comes. Raises as `tell`."""
        session = self._of(page)
        session.is_asked = True
        told: dict[str, Told] = {}
        for name, model in self.models.items():
            for part in tell(model, session.looked[name], asked):
                told[name] = _beside(part, session.whole.get((name, asked.whole)))
                yield dict(told)
            if asked == asked.whole and told[name].shares:
                session.whole[name, asked] = told[name].shares

    def is_asked(self, page: str) -> bool:
        """Whether the page has asked something about its clip."""
        return page in self.held and self.held[page].is_asked

    def forget(self, page: str) -> None:
        """Drop what a page has uploaded."""
        self.held.pop(page, None)

    def _of(self, page: str) -> Session:
        """The page's session; of words alone where nothing was uploaded."""
        if page not in self.held:
            self._hold(
                page, Session({name: look(each, None) for name, each in self.models.items()})
            )
        return self.held[page]

    def _hold(self, page: str, session: Session) -> None:
        while len(self.held) >= KEPT:
            self.forget(next(iter(self.held)))
        self.held[page] = session


def _beside(told: Told, whole: Mapping[str, float] | None) -> Told:
    """With the shares of everything, where there are others now."""
    return told if whole is None or whole == told.shares else replace(told, before=whole)


def _by_name(error: DataError, path: Path) -> DataError:
    """The same error without the folder that the upload lay in."""
    where, got, expected, fix = (
        text.replace(f"{path.parent}/", "")
        for text in (error.where, error.got, error.expected, error.fix)
    )
    return type(error)(where, got, expected=expected, fix=fix)
