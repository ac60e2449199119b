"""SkyPilot's own schemas on our files; for `make docker-check`, since SkyPilot is heavy."""

from __future__ import annotations

from pathlib import Path

import sky
import yaml
from sky.utils import common_utils, schemas

HERE = Path(__file__).parent

task = sky.Task.from_yaml(str(HERE / "skypilot.yaml"))
volume = yaml.safe_load((HERE / "skypilot-volume.yaml").read_text(encoding="utf-8"))
common_utils.validate_schema(volume, schemas.get_volume_schema(), "skypilot-volume.yaml: ")
print(f"{task.num_nodes} nodes of {task.resources}, volume {volume['name']}")
