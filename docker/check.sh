#!/usr/bin/env bash
# `make docker-check`: builds the image and trains in it as its own user, without a Docker engine.
#
# Needs root, and Debian's buildah and debootstrap, which makes the base image (a container registry
# is not asked). About 20 GB are used below $DOCKER_CHECK_DIR and removed again; KEEP=1 keeps them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

suite="${SUITE:-bookworm}"
work="${DOCKER_CHECK_DIR:-/var/tmp/affect-mllm-docker-check}"
image=localhost/affect-mllm
for tool in buildah debootstrap; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install $tool" >&2; exit 2; }
done
[[ $EUID -eq 0 ]] || { echo "debootstrap and buildah's chroots need root" >&2; exit 2; }

say() { printf '\n== %s\n' "$*"; }
stored() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
# shellcheck disable=SC2329  # called by the trap
finish() { if [[ -n ${KEEP:-} ]]; then echo "kept: $work"; else rm -rf "$work"; fi; }
trap finish EXIT
mkdir -p "$work/cache"
export TMPDIR="$work/cache"  # buildah keeps pip's cache there, too

# pip goes where this machine's pip goes: its settings in one file, and the folders that they name.
settings="$work/pip.conf"
{ echo "[global]"; python3 -m pip config list | sed -E "s/^[^.]*\.([a-z-]+)='(.*)'$/\1 = \2/"; } \
  | awk -F' = ' '!seen[$1]++' > "$settings"
mounts=(--volume "$settings:/etc/pip.conf:ro")
while read -r path; do
  path="${path%/simple}"  # an index refers to files beside it
  [[ -e $path ]] && mounts+=(--volume "$path:$path:ro")
done < <(grep -oE '/[^/ ][^ ]*' "$settings" | sort -u)

say "1/6 base: debootstrap $suite"
if ! stored inspect --type image "$image-base" >/dev/null 2>&1; then
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$work/base" > "$work/base.log"
  base="$(stored from scratch)"
  stored add --quiet "$base" "$work/base" / >/dev/null
  stored commit --quiet --rm "$base" "$image-base" >/dev/null
  rm -rf "$work/base"
fi

say "2/6 the image"
stored build --format docker --isolation chroot --network host --pull-never "${mounts[@]}" \
  --build-arg "BASE_IMAGE=$image-base" --file docker/Dockerfile --tag "$image" .

container="$(stored from --pull-never "$image")"
inside() {
  stored run --isolation chroot --network host --hostname localhost "${mounts[@]}" "$container" -- "$@"
}

train=(env OMP_NUM_THREADS=1 torchrun --standalone --nproc_per_node 2 train.py
  experiment=tiny_demo 'hydra.searchpath=[/runs/tiny/conf]' stage=align)

say "3/6 its user, its command, deepspeed, smoke tests"
[[ $(inside id -u) == 10001 ]]
for folder in /app /cache /runs; do inside test -w "$folder"; done
begins="$(stored inspect --format '{{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}}' "$container")"
[[ $begins == "[affect-mllm] [--help]" ]]
inside affect-mllm --help
inside python -c 'import torch.nn.attention.varlen, deepspeed; print(deepspeed.__version__)'
inside env DS_ACCELERATOR=cuda python -c 'import deepspeed'
inside pip install --quiet --target /tmp/tools pytest hypothesis
inside env PYTHONPATH=/tmp/tools OMP_NUM_THREADS=1 python -m pytest -p no:cacheprovider \
  tests/tools/test_tiny.py tests/models/test_attention.py

say "4/6 two training steps by torchrun: DDP, then ZeRO-3, whose extension is compiled in there"
inside affect-mllm tiny /runs/tiny
for launch in ddp zero3; do
  inside "${train[@]}" "launch=$launch" "run_dir=/runs/$launch" stages.align.steps=2
  inside test -s "/runs/$launch/align/final/trainable.safetensors"
  [[ $(inside cat "/runs/$launch/align/metrics.jsonl" | wc -l) == 2 ]]
done

say "5/6 a stop as \`docker stop\` makes it, and the same command again"
# shellcheck disable=SC2016  # read by the shell in the container
stopped='rows() { cat /runs/stop/align/metrics.jsonl 2>/dev/null | wc -l; }
had=$(rows)
"$@" > /runs/said 2>&1 & run=$!
until [ "$(rows)" -gt "$((had + 1))" ]; do kill -0 $run || cat /runs/said; kill -0 $run; sleep 1; done
kill -TERM $run; wait $run || true
grep stopped /runs/stop/status.json'
train+=(launch=ddp run_dir=/runs/stop stages.align.steps=100000)
inside sh -euc "$stopped" - "${train[@]}"
inside sh -euc "$stopped" - "${train[@]}"
inside grep "goes on after step" /runs/said
inside python -c 'import json
steps = [json.loads(row)["step"] for row in open("/runs/stop/align/metrics.jsonl")]
assert steps == list(range(1, len(steps) + 1)), steps'

say "6/6 the SkyPilot files by SkyPilot"
python3 -m venv "$work/sky"
"$work/sky/bin/pip" install --quiet 'skypilot>=0.14,<1'
HOME="$work/sky" "$work/sky/bin/python" docker/check_sky.py

say "docker-check passed"
