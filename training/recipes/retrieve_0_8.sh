#!/usr/bin/env bash
# Retrieve model 0.8: supervised, its noisy-channel model, reranking, then reinforced on short and on broad questions.
#
#   training/recipes/retrieve_0_8.sh DATA OUT ADAPTER_0_3
#
# ADAPTER_0_3: the adapter of retrieve 0.3, on which 0.4 goes on. It goes back to 0.1, which was stopped and
# continued by hand, and to episodes that showed the question first, so no recipe makes it. The history holds it:
#   git show 70a098b^:retrieve/weights/0.3/adapter.safetensors
#
# FIRST_S and THEN_S, in seconds, stop the two runs on broad questions before their last step. The shipped ones
# stopped after 43 of 60 and 14 of 45 steps; a step's time depends on the machine, so they are not set here.
set -euo pipefail
DATA=$1 OUT=$2 ADAPTER_0_3=$3
RECIPES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CARD=$RECIPES/../../retrieve/weights/0.9/README.md
VERSIONS=$OUT/versions
mkdir -p "$VERSIONS"

# 0.4: supervised. The traces: 63,755 from public sets, passages as the store ranks them. Some ten minutes of two
# cores.
python -m training.traces.mixture --data "$DATA" --out "$OUT/traces"

# One H200 for 175 s beside another run: 652 steps of 15,000 tokens, traces on the same passages packed behind one
# reading of them. The shipped run had its traces sorted by their first segment and no held-out traces.
python -m training.retrieve_model.supervised --traces "$OUT/traces" --out "$OUT/supervised" \
    --start-from "$ADAPTER_0_3" --packed --lengths 1024 --batch-tokens 15000 --learning-rate 6e-4 --n-epochs 6 \
    --evaluate-every 100000 --checkpoint-every 100000 --stop-after-s 175

# Halfway back to the start: what was learned by heart fades first.
python -m training.retrieve_model.weight_averaging --adapters "$ADAPTER_0_3" "$OUT/supervised/adapter.safetensors" \
    --out "$OUT/average_0_4"

# Abstention bias and search bias, on held-out documents.
python -m training.retrieve_model.tune_serving --version "$OUT/average_0_4" --out "$OUT/tuning_0_4.json" \
    --data "$DATA/new_wiki" "$DATA/hotpot_train100" "$DATA/musique_train100" --passages 3 --questions 60 --second-search
python -m training.retrieve_model.release_retrieve --run "$OUT/average_0_4" --tuning "$OUT/tuning_0_4.json" --name 0.4 \
    --card "$CARD" --out "$VERSIONS"

# 0.5: reranking. The noisy-channel model is a second adapter that acts behind the passages, so the first one's
# reports stay as they are. Two cores for 55 minutes, 304 steps; the shipped run had no traces of medquad and
# cmrc_trial.
python -m training.retrieve_model.supervised --traces "$OUT/traces" --channel-of "$VERSIONS/0.4" --out "$OUT/channel" \
    --lengths 1024 --batch-tokens 5000 --rank 24 --frozen-layers 6 --learning-rate 8e-4 --checkpoint-every 40 \
    --evaluate-every 100000 --stop-after-s 3300
python -m training.retrieve_model.release_retrieve --run "$VERSIONS/0.4" --settings-of "$VERSIONS/0.4" \
    --channel "$OUT/channel" --name trial --card "$CARD" --out "$VERSIONS"

# The candidates of a wide beam search on held-out questions, and the best settings on them.
python -m training.traces.packed_example_set --data "$DATA" --out "$OUT/held_out" --held-out
python -m training.retrieve_model.candidate_sets --packed "$OUT/held_out" --version "$VERSIONS/trial" --questions 240 \
    --out "$OUT/candidate_sets.jsonl"
python -m training.retrieve_model.tune_reranking --sets "$OUT/candidate_sets.jsonl" --most-tokens 150 \
    --json "$OUT/reranking.json"

# The settings that ship were taken by hand among those that are nearly as good there as the best (log, 2026-11-28):
# retrieve_0_8_reranking.json, not $OUT/reranking.json. Passages 0.2 below the best score are not shown: next to no
# evidence is lost.
python -m training.retrieve_model.release_retrieve --run "$VERSIONS/0.4" --settings-of "$VERSIONS/0.4" \
    --channel "$OUT/channel" --reranking "$RECIPES/retrieve_0_8_reranking.json" --score-margin 0.2 --name 0.5 \
    --card "$CARD" --out "$VERSIONS"

# 0.6: reinforced on short questions about documents that no stage has seen; half of new_wiki's held-out articles
# measure. One core for 65 minutes, 52 of 64 steps.
python -m training.traces.packed_example_set --data "$DATA" --out "$OUT/unseen" --unseen
python -m training.traces.packed_example_set --data "$DATA" --out "$OUT/unseen_held_out" --unseen --held-out
python -m training.rl.reinforce --packed "$OUT/unseen" --held-out-packed "$OUT/unseen_held_out" --held-out 400 \
    --start "$VERSIONS/0.5" --run "$OUT/reinforced" --config "$RECIPES/retrieve_0_8_short.toml" --stop-after-s 3900
python -m training.retrieve_model.release_retrieve --run "$OUT/reinforced" --channel "$VERSIONS/0.5" \
    --settings-of "$VERSIONS/0.5" --name 0.6 --card "$CARD" --out "$VERSIONS"

# 0.7: no abstention before a second search. The bias after it was chosen by hand, in steps of one, from the
# judgements in this file; today `--before-none` judges it.
python -m training.retrieve_model.tune_serving --data "$DATA/new_wiki" --version "$VERSIONS/0.6" --passages 3 \
    --score-margins 0.2 --questions 300 --second-search --out "$OUT/tuning_0_7.json"
python -m training.retrieve_model.release_retrieve --run "$VERSIONS/0.6" --settings-of "$VERSIONS/0.6" \
    --bias-after-search 4 --name 0.7 --card "$CARD" --out "$VERSIONS"

# 0.8: reinforced on broad questions, with short ones among them so that these are kept.
python -m training.traces.packed_example_set --data "$DATA" --out "$OUT/broad" --broad --questions 2 --most 60
python -m training.traces.packed_example_set --data "$DATA" --out "$OUT/broad_held_out" --broad --questions 2 \
    --most 60 --held-out
python -m training.traces.packed_example_set --data "$DATA" --out "$OUT/short" --unseen --questions 2
python -m training.traces.packed_example_set --data "$DATA" --out "$OUT/short_held_out" --unseen \
    --questions 2 --held-out

# The first run had the reward before commit 87fff09, where half of the quotes right counted as right enough; it is
# run here with the reward of today. It quotes much and abstains too little.
python -m training.rl.reinforce --packed "$OUT/broad" "$OUT/short" \
    --held-out-packed "$OUT/broad_held_out" "$OUT/short_held_out" --held-out 120 --start "$VERSIONS/0.7" \
    --run "$OUT/first" --config "$RECIPES/retrieve_0_8_broad_first.toml" ${FIRST_S:+--stop-after-s "$FIRST_S"}
python -m training.retrieve_model.release_retrieve --run "$OUT/first" --channel "$VERSIONS/0.7" \
    --settings-of "$VERSIONS/0.7" --name first --card "$CARD" --out "$VERSIONS"

# The second goes on from it and quotes little.
python -m training.rl.reinforce --packed "$OUT/broad" "$OUT/short" \
    --held-out-packed "$OUT/broad_held_out" "$OUT/short_held_out" --held-out 120 --start "$VERSIONS/first" \
    --run "$OUT/then" --config "$RECIPES/retrieve_0_8_broad_then.toml" ${THEN_S:+--stop-after-s "$THEN_S"}

# Their average, in halves, chosen before it was measured.
python -m training.retrieve_model.weight_averaging --out "$OUT/average_0_8" \
    --adapters "$OUT/first/adapter.safetensors" "$OUT/then/adapter.safetensors"
python -m training.retrieve_model.release_retrieve --run "$OUT/average_0_8" --channel "$VERSIONS/first" \
    --settings-of "$VERSIONS/0.7" --name 0.8 --card "$CARD" --out "$OUT/weights"
