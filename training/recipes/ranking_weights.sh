#!/usr/bin/env bash
# Ranking weights of search: five features, one set of weights for scripts with blanks, one for those without.
#
#   training/recipes/ranking_weights.sh DATA OUT
#
# Eight minutes on one core. Nothing is drawn at random, and the loss has one minimum.
set -euo pipefail
DATA=$1 OUT=$2
mkdir -p "$OUT"

# People's questions with their evidence: four English sets, two Chinese ones. Held-out documents are left out.
python -m training.prep_model.ranking_weights --out "$OUT/ranking.json" --data "$DATA/new_wiki" \
    "$DATA/hotpot_train100" "$DATA/musique_train100" "$DATA/clapnq_dev" "$DATA/drcd_dev" "$DATA/cmrc_trial"
