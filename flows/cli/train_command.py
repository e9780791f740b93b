"""`diptych train`: data made from the documents, and a candidate version trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import click

from flows.cli.command import Command, Kind, command, json_option, kind_argument, positive_float
from flows.cli.output import print_json

if TYPE_CHECKING:
    from flows.candidates.candidate_folder import Candidate
    from flows.candidates.dataset_folder import Dataset

__all__ = ["train"]

#: Those of `flows.candidates.prep_candidates` and `retrieve_candidates`, slow to import; a test holds them equal.
Stage: TypeAlias = Literal["supervised", "contrastive", "reinforcement", "reader"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class TrainCommand(Command):
    """`--corpus` takes several paths."""

    several = ("--corpus",)


# The defaults are those of `flows.candidates.training_sets.TrainingSettings`; a test holds them equal.
@command(
    "train",
    "diptych train prep --stage contrastive --minutes 20",
    "diptych train retrieve --stage reinforcement --minutes 60",
    "diptych train retrieve --corpus docs/ --examples 960 --generated 240 --seed 1",
    "diptych train retrieve --teacher http://localhost:8000/v1 --teacher-model qwen",
    cls=TrainCommand,
)
@kind_argument
@click.option("--corpus", multiple=True, metavar="PATH...", help="Ingest these files or folders first.")
@click.option(
    "--minutes",
    type=positive_float,
    default=20.0,
    show_default=True,
    metavar="N",
    help="At most, for training retrieve or prep's vectors.",
)
@click.option(
    "--stage",
    type=click.Choice(STAGES),
    default="supervised",
    show_default=True,
    help="Of prep: supervised trains the heads on structure, contrastive the vectors on questions, reinforcement the "
    "cuts on search results. Of retrieve: supervised, or reinforcement, by rewarded reports, train the writer; reader "
    "trains the reader.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    metavar="N",
    default=960,
    show_default=True,
    help="Synthetic examples at most.",
)
@click.option(
    "--generated",
    type=int,
    metavar="N",
    help="Of them, questions that the model writes; by default a quarter.",
)
@click.option(
    "--teacher",
    metavar="URL",
    help="Let a server with OpenAI's chat protocol write them, such as http://localhost:8000/v1; passages are sent to "
    "it. Its key, if it needs one, is read from DIPTYCH_TEACHER_KEY.",
)
@click.option("--teacher-model", metavar="NAME", help="The model, as that server calls it.")
@click.option("--seed", type=int, metavar="N", default=0, show_default=True)
@json_option
def train(
    workspace: Path,
    kind: Kind,
    corpus: tuple[str, ...],
    minutes: float,
    stage: Stage,
    examples: int,
    generated: int | None,
    teacher: str | None,
    teacher_model: str | None,
    seed: int,
    as_json: bool,
) -> int:
    """Train a candidate version on data made from the documents."""
    from flows.candidates.prep_candidates import check_prep_stage, train_prep_candidate
    from flows.candidates.retrieve_candidates import check_retrieve_stage, train_retrieve_candidate
    from flows.candidates.training_sets import synthesize_data
    from flows.candidates.training_settings import TrainingSettings
    from flows.models.serving import serving_prep
    from prep.errors import ConfigError
    from prep.ingest import ingest
    from prep.store.workspace import Workspace
    from training.questions.teacher import TeacherConfig

    check = check_retrieve_stage if kind == "retrieve" else check_prep_stage
    check(stage)  # before anything is ingested or generated
    if (teacher is None) != (teacher_model is None):
        raise ConfigError("--teacher and --teacher-model belong together: a URL and the model's name there")
    config = TeacherConfig(url=teacher, model=teacher_model) if teacher and teacher_model else None
    settings = TrainingSettings(
        n_examples=examples,
        n_generated=examples // 4 if generated is None else generated,
        minutes=minutes,
        seed=seed,
    )
    place = Workspace(workspace)
    if corpus:
        with place.lock():
            ingest(place, list(corpus), serving_prep(place))
    dataset = synthesize_data(place, settings, teacher=config)
    if kind == "prep":
        candidate = train_prep_candidate(place, dataset, settings, check_prep_stage(stage))
    else:
        candidate = train_retrieve_candidate(place, dataset, settings, check_retrieve_stage(stage))
    if as_json:
        print_json(candidate)
        return 0
    _print_candidate(candidate, dataset, "the teacher" if config else "the model")
    return 0


def _print_candidate(candidate: Candidate, dataset: Dataset, writer: str) -> None:
    """Print the counts of the data set, the candidate's figures, and how to promote it."""
    from flows.candidates.dataset_folder import QUESTIONS_PAGE

    print(f"{dataset.n_questions} questions to train on, {dataset.n_held_out} held out")
    if about := dataset.generated:
        print(
            f"  {about['kept']} of them written by {writer}, of {about['written']} tried; a sample: "
            f"{dataset.folder / QUESTIONS_PAGE}"
        )
    print(
        f"{candidate.kind} {candidate.version} {'was trained before' if candidate.reused else 'is trained'}"
    )
    for system, figures in candidate.metrics.items():
        print(f"  {system}: {', '.join(f'{name} {value:.3f}' for name, value in figures.items())}")
    print(f"It does not serve yet: diptych models promote {candidate.kind} {candidate.version}")
