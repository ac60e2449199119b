"""What Gradio does with uploads that no page reads any more."""

from __future__ import annotations

from tests.processes import finished

# In a process of its own: Gradio leaves event loops open. The model is asked nothing.
UPLOADING = """
import time
from pathlib import Path
from types import SimpleNamespace

from affect_mllm.tools.page.server import application, private_folder
from affect_mllm.tools.page.sessions import Sessions

with private_folder():
    from starlette.testclient import TestClient

    from affect_mllm.tools.page import layout

    layout.DELETED_S = (1, 1)
    model = SimpleNamespace(usual=dict, closed=lambda: None)
    app, _ = application(Sessions({"one": model}), "testserver")
    with TestClient(app) as client:
        reply = client.post("/gradio_api/upload", files={"files": ("a.wav", b"RIFF")})
        path = Path(reply.json()[0])
        assert path.read_bytes() == b"RIFF"
        while path.exists():
            time.sleep(0.05)
"""


def test_an_upload_that_nobody_read_is_deleted() -> None:
    assert finished(["-c", UPLOADING], deadline_s=300)[0] == 0
