#!/usr/bin/env bash
# The question generator 0.1: an adapter that reads a passage and writes a question on one of its sentences.
#
#   training/recipes/question_generation_0_1.sh DATA OUT ADAPTER_0_2
#
# ADAPTER_0_2: the adapter of retrieve 0.2, on which this one goes on. It goes on from 0.1, which was stopped and
# continued by hand, so no recipe makes it. The history holds it:
#   git show 5304495:retrieve/weights/0.2/adapter.safetensors
#
# The weights are not made again to the digit: the traces of the shipped run were built before answers that cut a
# word in two were refused (log, 2026-11-26), on chunks of the prep model of that day.
set -euo pipefail
DATA=$1 OUT=$2 ADAPTER_0_2=$3
WEIGHTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../retrieve/weights/ask/0.1" && pwd)
mkdir -p "$OUT"

# A trace: a passage, the sentence somebody asked about, the question, the answer as a run of words of the sentence.
python -m training.traces.question_traces --data "$DATA" --out "$OUT/traces"

# 321 steps of 1,024 tokens in 45 minutes of one core, in float32: about half of 3,449 traces once. Nine of eighteen
# layers and the rows of tags and markers stay those of 0.2, which makes a step cheaper.
python -m training.retrieve_model.supervised --traces "$OUT/traces" --out "$OUT/run" --start-from "$ADAPTER_0_2" \
    --frozen-layers 9 --learning-rate 4e-4 --batch-tokens 1024 --lengths 128 160 192 256 --evaluate-every 150 \
    --stop-after-s 2700

# Generation reads none of the serving settings; they are those of the shipped version.
python -m training.retrieve_model.release_retrieve --run "$OUT/run" --settings-of "$WEIGHTS" --name 0.1 \
    --card "$WEIGHTS/README.md" --out "$OUT/weights"
