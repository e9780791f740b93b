#!/usr/bin/env bash
# Prep model 0.3: contrastive vectors, then boundary, role and heading-level heads beside them.
#
#   training/recipes/prep_0_3.sh DATA OUT PREP_0_1
#
# PREP_0_1: the version whose cuts the vectors were trained on. Today's pages and heads are others, so no recipe
# makes it. The history holds it:
#   git archive d0a560b prep/weights/0.1
set -euo pipefail
DATA=$1 OUT=$2 PREP_0_1=$3
RECIPES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CARD=$RECIPES/../../prep/weights/0.3/README.md
mkdir -p "$OUT"

# Stage two comes first: the heads read the two frozen lower layers, which training the vectors leaves as they are.
# 45 minutes on one core, 378 steps. The learning rate falls with the time that is left.
python -m training.prep_model.contrastive --data "$DATA" --run "$OUT/contrastive" --start "$PREP_0_1" \
    --config "$RECIPES/prep_0_3_contrastive.toml" --stop-after-s 2700 --ship "$OUT/vectors"

# Stage one: about 3,300 damaged pages, 1,424 steps, the default settings. Nine minutes on one core, and about 20 to
# read the pages.
python -m training.prep_model.structure_training --data "$DATA" --run "$OUT/structure" --vectors-from "$OUT/vectors" \
    --ship "$OUT/version"

# The probability from which a section end ends a topic was tuned on qmsum_train (log, 2026-11-26), the target on
# chroma_chunking and new_wiki (log, 2026-11-27): 95 tokens hold more evidence in five chunks than the 80 of 0.2.
python -m training.prep_model.release_prep --version "$OUT/version" --name 0.3 --card "$CARD" --out "$OUT/weights" \
    --topic-probability 0.7 --target-tokens 95
