#!/usr/bin/env bash
# meld.sh FOLDER OUT: seven emotions of an utterance's words, alone and with the turns before it. FOLDER has
# MELD's train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv. The model of words alone is where that
# of turns begins; which weights are kept is chosen on dev. Beside both: TF-IDF and logistic regression.
set -euo pipefail
bin=${BIN:-.venv/bin}
folder=$1
out=$2
rows=$out/rows.jsonl
metrics='benchmark.metrics=[weighted_f1,accuracy,uar,macro_f1]'
"$bin/python" data_recipes/meld.py "$folder" --words-only --out "$rows"
"$bin/affect-mllm" probe "$rows" --label emotion --test test --out "$out/tfidf"
"$bin/affect-mllm" score --benchmark meld_closed --manifest "$rows" \
    --predictions "$out/tfidf/words.predictions.jsonl" \
    --out "$out/tfidf/results.json" --log "$out/tfidf/log.jsonl"

# NAME QUESTION SETTINGS…: trained, asked, and scored as the published test is
learnt() {
    local name=$1 question=$2 run=$out/$1
    shift 2
    "$bin/python" train.py experiment=people "data=meld_$name" "data.manifest=$rows" \
        "run_dir=$run/train" "seed=${SEED:-1}" "$@"
    "$bin/python" eval.py benchmark=own_clips "benchmark.question='$question'" "$metrics" \
        "checkpoint=$run/train/words/final" "run_dir=$run" "subsets=[text]" answer_by=likelihood calibrate=val
    "$bin/affect-mllm" score --benchmark meld_closed --manifest "$rows" \
        --predictions "$run/eval/own_clips/text.predictions.jsonl" \
        --out "$out/scores/$name/results.json" --log "$out/scores/$name/log.jsonl"
}
learnt words 'Emotion?'
learnt turns 'Said before: {context} Emotion of {speaker}?' \
    "stages.words.init_from=$out/words/train/words/final" stages.words.epochs=0.75
"$bin/affect-mllm" compare "$out/tfidf" "$out/scores/words" "$out/scores/turns" \
    --metric weighted_f1 --across prompt,subset
"$bin/affect-mllm" report "$out/words" "$out/turns" --across prompt --out "$out/report.html"
