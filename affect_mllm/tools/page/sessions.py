"""What every open page has uploaded: read once, its file deleted, forgotten with the page."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from affect_mllm.tools.page.bounds import Bounds
from affect_mllm.tools.page.looked import Looked, look
from affect_mllm.tools.page.turn import Asked, Told, tell
from affect_mllm.types import ConfigError, DataError

if TYPE_CHECKING:
    from affect_mllm.tools.pipeline import Pipeline

KEPT = 8  # pages whose clips are held in memory at most, the latest ones
REMEMBERED = 1000  # ids of pages that are gone, the latest ones


@dataclass
class Session:
    """One page's clip by checkpoint, and the shares of labels with everything that there is."""

    looked: dict[str, Looked]
    whole: dict[tuple[str, Asked], Mapping[str, float]] = field(default_factory=dict)
    is_asked: bool = False

    @property
    def has_clip(self) -> bool:
        """Whether something was uploaded."""
        return any(each.kinds for each in self.looked.values())


def _ids() -> deque[str]:
    return deque(maxlen=REMEMBERED)


@dataclass(frozen=True)
class Sessions:
    """The pages that are open, by their id, and the checkpoints (by name) that they ask."""

    models: Mapping[str, Pipeline]
    bounds: Bounds = field(default_factory=Bounds)
    held: dict[str, Session] = field(default_factory=dict)
    closed: deque[str] = field(default_factory=_ids)
    evicted: deque[str] = field(default_factory=_ids)

    def read(self, page: str, path: Path) -> dict[str, Looked]:
        """What each checkpoint gets of an upload, which takes the place of the page's last one.

        The file is deleted, whatever comes of it. Raises DataError as the command line does, of
        the file by its name alone, and ConfigError where the page was closed meanwhile.
        """
        self.held.pop(page, None)
        try:
            self.bounds.check(path)
            looked = {name: look(model, path) for name, model in self.models.items()}
        except DataError as error:
            raise error.without(f"{path.parent}/") from error
        finally:
            path.unlink(missing_ok=True)
        self._hold(page, Session(looked))
        return looked

    def ask(self, page: str, asked: Asked) -> Iterator[dict[str, Told]]:
        """What the checkpoints say, one after the other, as it comes.

        Raises as `tell`, and ConfigError where the page's clip is no longer held.
        """
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
        """Drop what a page that was closed has uploaded, or is uploading."""
        self.closed.append(page)
        self.held.pop(page, None)

    def _of(self, page: str) -> Session:
        """The page's session; of words alone where nothing was uploaded."""
        if (held := self.held.get(page)) is not None:
            return held
        if page in self.evicted:
            raise ConfigError("clip", f"forgotten: {KEPT} later pages came", fix="upload it again")
        words = Session({name: look(each, None) for name, each in self.models.items()})
        self._hold(page, words)
        return words

    def _hold(self, page: str, session: Session) -> None:
        """Keep a session; ConfigError for a page that was closed."""
        while len(self.held) >= KEPT:
            self._evict(next(iter(self.held)))
        self.held[page] = session
        if page in self.evicted:
            self.evicted.remove(page)
        if page in self.closed:  # looked at last: it may be closed at any moment
            self.held.pop(page, None)
            raise ConfigError("page", "its connection was closed", fix="reload it")

    def _evict(self, page: str) -> None:
        session = self.held.pop(page, None)
        if session is not None and session.has_clip:
            self.evicted.append(page)


def _beside(told: Told, whole: Mapping[str, float] | None) -> Told:
    """With the shares of everything, where there are others now."""
    return told if whole is None or whole == told.shares else replace(told, before=whole)
