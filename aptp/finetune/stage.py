"""Stage 2: from a checkpoint to a checkpoint with trained experts."""

from pathlib import Path

from aptp.checkpoint.publishing import check_target
from aptp.checkpoint.writer import rewrite_experts
from aptp.finetune.learner import ExpertLearner
from aptp.finetune.run import ExpertRun, ExpertTask
from aptp.finetune.samples import open_samples
from aptp.pipeline import stored_dtypes
from aptp.trainer import distributed, provenance, run_folder
from aptp.trainer.loop import RunOptions, Training, check
from aptp.trainer.recipe import Recipe

RECIPE = Recipe(steps=2_800, batch=32, rate=7e-4, warmup=200, decay=1_400, average=0.999)


def finetune(
    task: ExpertTask,
    out: Path,
    folder: Path,
    options: RunOptions,
    *,
    recompute: bool = False,
    at_once: int | None = None,
) -> bool:
    """Train experts, and write a checkpoint with them and all others to `out`.

    False where the session ended first: the same call goes on from the state in `folder`. `recompute`: trade
    time for memory by gradient checkpointing. `at_once`: rows that a process's UNets take at a time. Raises
    UsageError, TrainingError, Refused, StorageError.
    """
    check_target(out)
    device = distributed.join()
    run = ExpertRun.open(task, options, recompute=recompute, at_once=at_once)
    learner = ExpertLearner(
        run.pipeline,
        run.experts,
        task.weights,
        run.feed.inputs,
        size=task.checkpoint.record.size,
        timesteps=task.recipe.timesteps,
        at_once=at_once,
    )
    check(learner, task.whole, options, device)  # now, before hours of routing
    with run_folder.hold(folder) as held:  # routes are kept there before there is a training
        samples = open_samples(run, folder, device, held_out=options.looks)
        training = Training(
            learner,
            samples.seen,
            task.whole,
            folder,
            options,
            identity={"stage": "finetune", "checkpoint": task.checkpoint.digest(), **run.identity()},
            held_out=samples.unseen,
            held=held,
        )
        finished = training.run("experts " + ", ".join(map(str, task.codes)))
    if not finished:
        return False
    if training.average:
        training.average.settle()
    if distributed.leads():
        _publish(run, out, folder, options)
    return True


def _publish(run: ExpertRun, out: Path, folder: Path, options: RunOptions) -> None:
    checkpoint = run.task.checkpoint
    stored = stored_dtypes(checkpoint.path)["unet"]
    tuned = {code: expert.to("cpu", stored).eval() for code, expert in run.experts.items()}
    told = {
        **provenance.origin("aptp.finetune"),
        **provenance.account(folder, run.task.recipe),
        "precision": options.precision,
        **run.identity(),
        "from": {**checkpoint.record.provenance, "digest": checkpoint.digest()},
    }
    rewrite_experts(checkpoint, out, tuned, told)
