"""`diptych train`: data made from the documents, and a candidate version trained on it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from prep.errors import ConfigError

if TYPE_CHECKING:
    from flows.candidates.prep_candidates import PrepStage
    from prep.store.current import ModelKind

__all__ = ["KINDS", "STAGES", "add_train"]

# Those of modules that are slow to import; a test holds them equal.
KINDS: tuple[ModelKind, ...] = ("prep", "retrieve")
STAGES: tuple[PrepStage, ...] = ("supervised", "contrastive", "reinforcement")


def add_train(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the sub-command. command: makes the parser of one, from its name, function, summary and examples."""
    from flows.cli.app import positive_float, positive_int

    train = command(
        "train",
        _train,
        "train a candidate version on data synthesised from the ingested documents",
        "diptych train prep --stage contrastive --minutes 20\n"
        "  diptych train retrieve --stage reinforcement --minutes 60\n"
        "  diptych train retrieve --corpus docs/ --examples 960 --asked 240 --seed 1\n"
        "  diptych train retrieve --teacher http://localhost:8000/v1 --teacher-model qwen",
    )
    train.add_argument("kind", choices=KINDS)
    train.add_argument("--corpus", nargs="+", metavar="PATH", help="ingest these files or folders first")
    train.add_argument(
        "--minutes",
        type=positive_float,
        default=20.0,
        help="training retrieve, or prep's vectors, at most (20)",
    )
    train.add_argument(
        "--stage",
        choices=STAGES,
        default=STAGES[0],
        help="of prep: heads by structure, vectors by questions, or cuts by what questions find; of retrieve: "
        "supervised, or reinforcement by what its reports are worth (supervised)",
    )
    train.add_argument("--examples", type=positive_int, default=960, help="synthetic examples at most (960)")
    train.add_argument(
        "--asked", type=int, metavar="N", help="of them, questions that the model writes (a quarter)"
    )
    train.add_argument(
        "--teacher",
        metavar="URL",
        help="let a server with OpenAI's chat protocol write them, such as http://localhost:8000/v1; "
        "passages are sent to it. Its key, if it needs one, is read from DIPTYCH_TEACHER_KEY",
    )
    train.add_argument("--teacher-model", metavar="NAME", help="the model, as that server calls it")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--json", action="store_true", help="print JSON")


def _train(arguments: argparse.Namespace) -> int:
    from flows.candidates.prep_candidates import train_prep_candidate
    from flows.candidates.retrieve_candidates import check_retrieve_stage, train_retrieve_candidate
    from flows.candidates.training_sets import ASKED_PAGE, PassSettings, synthesize_data
    from flows.cli.app import print_json
    from flows.models.serving import serving_prep
    from prep.ingest import ingest
    from prep.store.workspace import Workspace
    from training.questions.teacher import TeacherConfig

    if arguments.kind == "retrieve":
        check_retrieve_stage(arguments.stage)  # before anything is ingested or asked
    workspace = Workspace(arguments.workspace)
    teacher = None
    if arguments.teacher or arguments.teacher_model:
        if not (arguments.teacher and arguments.teacher_model):
            raise ConfigError(
                "--teacher and --teacher-model belong together: a URL and the model's name there"
            )
        teacher = TeacherConfig(url=arguments.teacher, model=arguments.teacher_model)
    settings = PassSettings(
        n_examples=arguments.examples,
        n_asked=arguments.examples // 4 if arguments.asked is None else arguments.asked,
        minutes=arguments.minutes,
        seed=arguments.seed,
    )
    if arguments.corpus:
        with workspace.lock():
            ingest(workspace, arguments.corpus, serving_prep(workspace), remove_missing=False)
    dataset = synthesize_data(workspace, settings, teacher=teacher)
    if arguments.kind == "prep":
        candidate = train_prep_candidate(workspace, dataset, settings, arguments.stage)
    else:
        candidate = train_retrieve_candidate(workspace, dataset, settings, arguments.stage)
    if arguments.json:
        print_json(candidate)
        return 0
    print(f"{dataset.n_questions} questions to train on, {dataset.n_held_out} held out")
    if dataset.asked:
        about = dataset.asked
        print(
            f"  {about['kept']} of them written by {'the teacher' if teacher else 'the model'}, of {about['written']} "
            f"tried; a sample: {dataset.folder / ASKED_PAGE}"
        )
    print(
        f"{candidate.kind} {candidate.version} {'was trained before' if candidate.reused else 'is trained'}"
    )
    for system, figures in candidate.metrics.items():
        print(f"  {system}: {', '.join(f'{name} {value:.3f}' for name, value in figures.items())}")
    print(f"It does not serve yet: diptych models promote {candidate.kind} {candidate.version}")
    return 0
