#!/usr/bin/env bash
# emodb.sh FOLDER OUT: what own_clips learns of acted voices. FOLDER is the unpacked Berlin Database
# of Emotional Speech; five folds of two actors are trained and asked, by the head on media tokens and
# by the likelihoods of the labels, and the answers to all 535 clips are scored together.
set -euo pipefail
bin=${BIN:-.venv/bin}
folder=$1
out=$2
folds=()
mkdir -p "$out"
for way in head likelihood; do : > "$out/$way.jsonl"; done
: > "$out/probe.jsonl"
for fold in 1 2 3 4 5; do
    rows=$out/fold$fold.jsonl
    run=$out/fold$fold
    folds+=(--manifest "$rows")
    "$bin/python" data_recipes/emodb.py "$folder" --fold "$fold" --out "$rows"
    "$bin/python" train.py experiment=own_clips "data.manifest=$rows" \
        "data.cache_dir=${FEATURES:-$out/features}" "run_dir=$run/train" "seed=${SEED:-1}"
    for way in head likelihood; do
        "$bin/python" eval.py benchmark=own_clips "checkpoint=$run/train/instruct/final" \
            "run_dir=$run/$way" "subsets=[audio]" "answer_by=$way"
        # One file has answers of one model, which here are five of one training.
        sed -E 's/"checkpoint": "[^"]*"/"checkpoint": "five folds"/' \
            "$run/$way/eval/own_clips/audio.predictions.jsonl" >> "$out/$way.jsonl"
    done
    cat "$run/head/eval/own_clips/probe.predictions.jsonl" >> "$out/probe.jsonl"
done
for way in probe head likelihood; do
    "$bin/affect-mllm" score --benchmark own_clips "${folds[@]}" --predictions "$out/$way.jsonl" \
        --out "$out/scores/$way/results.json" --log "$out/scores/$way/log.jsonl"
done
"$bin/affect-mllm" compare "$out/scores/probe" "$out/scores/head" "$out/scores/likelihood" --across prompt,subset
