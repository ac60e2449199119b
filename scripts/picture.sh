#!/usr/bin/env bash
# The first screen of a page as a picture, by headless chromium: scripts/picture.sh PAGE.html OUT.png
set -euo pipefail
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size="${SIZE:-1200,860}" \
  --screenshot="$2" "file://$(realpath "$1")"
