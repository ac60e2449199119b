"""pytest plugin (`-p tests.no_skips`): a skipped test fails the run unless it cannot run here.

With pytest-xdist the workers see the skips, those of whole files too, and tell the controller.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

SKIPPED: list[tuple[str, str]] = []


def excused(reason: str) -> bool:
    """Whether this machine really lacks what `reason` names."""
    if "AFFECT_REFERENCE_DIR" in reason:
        return "AFFECT_REFERENCE_DIR" not in os.environ
    if "CUDA" in reason:
        import torch

        return torch.cuda.is_available() == ("without CUDA" in reason)
    if "network namespaces" in reason:
        from tests.hosts import lacks

        return lacks() is not None
    return False


def note(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Remember a skip that has no excuse; an expected failure is no skip."""
    if not report.skipped or "wasxfail" in vars(report):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not excused(reason) and (report.nodeid, reason) not in SKIPPED:
        SKIPPED.append((report.nodeid, reason))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    note(report)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist ended: what it saw skipped counts here."""
    told = getattr(node, "workeroutput", {}).get("skipped", ())
    SKIPPED.extend(each for each in map(tuple, told) if each not in SKIPPED)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if (worker := getattr(session.config, "workeroutput", None)) is not None:
        worker["skipped"] = SKIPPED
    elif SKIPPED and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SKIPPED:
        terminalreporter.section("skipped although they can run here", red=True)
        for nodeid, reason in SKIPPED:
            terminalreporter.line(f"{nodeid}: {reason}")
