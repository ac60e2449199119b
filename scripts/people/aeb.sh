#!/usr/bin/env bash
# aeb.sh FOLDER OUT: numbers and classes of short texts, one model for all. FOLDER has EmoLLMs' SST_test.json,
# sst5_test.json, TDT.json, emobank_test.json and goemotion_test.json. One fold of five (FOLD) is tested;
# beside every task the ridge or logistic regression on TF-IDF, fitted on the same rows.
set -euo pipefail
bin=${BIN:-.venv/bin}
folder=$1
out=$2
rows=$out/rows.jsonl
"$bin/python" data_recipes/aeb.py "$folder" --fold "${FOLD:-1}" --words-only --out "$rows"
"$bin/python" train.py experiment=people data=aeb "data.manifest=$rows" "run_dir=$out/train" \
    "data.cache_dir=${FEATURES:-$out/features}" "seed=${SEED:-1}" stages.words.epochs=2

# LABEL QUESTION METRICS SETTINGS…
asked() {
    "$bin/python" eval.py benchmark=own_clips "benchmark.truth=$1" "benchmark.question='$2'" \
        "benchmark.metrics=[$3]" "checkpoint=$out/train/words/final" "run_dir=$out" \
        "subsets=[text]" answer_by=likelihood "${@:4}"
}
asked review_sentiment 'Sentiment from 0 to 1?' pearson,ccc,mae benchmark.levels=21
for number in valence arousal dominance; do
    asked "writer_$number" "${number^} from 1 to 5?" pearson,ccc,mae benchmark.levels=21
done
asked review_class 'Sentiment of five?' accuracy,macro_f1
asked tweet_sentiment 'Sentiment?' accuracy,macro_f1
asked comment_emotion 'Emotion?' accuracy,macro_f1
"$bin/affect-mllm" report "$out"
