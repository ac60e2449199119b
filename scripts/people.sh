#!/usr/bin/env bash
# people.sh DIR [OUT]: what the small model learns of people. DIR has the folders meld, emodb and aeb as their
# publishers ship them (scripts/people/NAME.sh says what of each); those that are there are learnt and asked,
# once for each of SEEDS ("1 2 3"). What is done is not done again, and a killed training goes on.
set -euo pipefail
bin=${BIN:-.venv/bin}
folder=$1
out=${2:-outputs/people}
here=$(dirname "$0")/people
found=
for part in meld emodb aeb; do
    if [[ ! -d $folder/$part ]]; then
        echo "no $folder/$part: left out" >&2
        continue
    fi
    found=yes
    for seed in ${SEEDS:-1}; do
        run=$out/$part/seed$seed
        if [[ -e $run/done ]]; then
            echo "$run is done"
            continue
        fi
        mkdir -p "$run"
        BIN=$bin SEED=$seed FEATURES=$out/$part/features "$here/$part.sh" "$folder/$part" "$run"
        touch "$run/done"
    done
done
[[ $found ]] || { echo "none of meld, emodb and aeb is in $folder" >&2; exit 2; }
