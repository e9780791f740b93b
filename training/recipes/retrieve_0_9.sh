#!/usr/bin/env bash
# Retrieve model 0.9: the writer of 0.8 with a reader before it.
#
#   training/recipes/retrieve_0_9.sh DATA OUT VERSION_0_8
#
# VERSION_0_8: the folder of retrieve 0.8, whose writer is kept: what `retrieve_0_8.sh` makes, or from the history
#   git archive 18d8f33 retrieve/weights/0.8
#
# One core of a processor with bfloat16; hours below are those of the shipped run. Training stops by the clock, so that
# another machine takes other steps.
set -euo pipefail
DATA=$1 OUT=$2 VERSION_0_8=$3
RECIPES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WEIGHTS=$RECIPES/../../retrieve/weights
export OMP_NUM_THREADS=1

# A first reader, from the embedded encoder: public sets, then questions as people ask them over passages cut by rules.
# 83 minutes, 1,373 steps of five questions.
python -m training.reader.commands first "$DATA" "$OUT/first"
python -m training.reader.commands real "$DATA" "$OUT/windows" --first "$OUT/first"
python -m training.reader.commands train "$OUT/run_1" "$OUT/first" --second "$OUT/windows" --second-from 0.4 --minutes 83
python -m training.reader.commands save "$OUT/run_1" "$OUT/reader_1"

# It goes on: more near misses and questions of yes or no, then the same questions over the prep model's chunks, with
# what the store's search ranks high as wrong passages. 100 minutes.
python -m training.reader.commands first "$DATA" "$OUT/later" --second --seed 1
python -m training.reader.commands real "$DATA" "$OUT/chunks" --chunks --seed 1 --first "$OUT/later" --n-first 1800
python -m training.reader.commands mix "$OUT/mixed" "$OUT/chunks" "$OUT/first" --most 8000
python -m training.reader.commands train "$OUT/run_2" "$OUT/later" --second "$OUT/mixed" --second-from 0.38 --minutes 100 --start "$OUT/reader_1"

# The confidence, on documents that nothing was trained on.
python -m training.reader.commands search "$DATA/docs_prometheus" "$OUT/candidates/docs_prometheus.jsonl" \
    --questions "$RECIPES/../data/user_questions/docs_prometheus.jsonl" --k 20
python -m training.reader.commands search "$DATA/new_wiki" "$OUT/candidates/new_wiki.jsonl" \
    --held-out --limit 240 --withhold-every 5 --k 20
python -m training.reader.commands search "$DATA/doc2dial" "$OUT/candidates/doc2dial.jsonl" \
    --held-out --limit 100 --withhold-every 6 --k 20
python -m training.reader.commands search "$DATA/boolq" "$OUT/candidates/boolq.jsonl" \
    --held-out --limit 120 --withhold-every 6 --k 20
python -m training.reader.commands save "$OUT/run_2" "$OUT/reader_2"
CANDIDATES=$OUT/candidates
python -m training.reader.commands measure "$OUT/reader_2" "$CANDIDATES/docs_prometheus.jsonl" \
    --calibrate-on "$CANDIDATES/docs_prometheus.jsonl" \
    --threshold-on "$CANDIDATES/new_wiki.jsonl" "$CANDIDATES/doc2dial.jsonl" "$CANDIDATES/boolq.jsonl" \
    --calibration "$OUT/calibration.json"
python -m training.reader.commands save "$OUT/run_2" "$OUT/reader" --calibration "$OUT/calibration.json"

python -m training.retrieve_model.release_retrieve --run "$VERSION_0_8" --settings-of "$VERSION_0_8" \
    --reader "$OUT/reader" --name 0.9 --card "$WEIGHTS/0.9/README.md" --out "$OUT/versions"
