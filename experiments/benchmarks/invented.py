"""Studies to measure commands on: a corpus, overrides that expand to so many runs, and records of runs never
trained.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.benchmarks.coverage import TRUTH
from scaling.launch.study import save_plan
from scaling.models import get_family
from scaling.records.record import RunRecord
from scaling.records.storage import commit_record, make_folder, new_attempt
from scaling.study.plan import Plan, plan_study
from scaling.study.spec import RunSpec, Trunk

SIZES, BUDGETS = 20, 5  # a hundred runs a seed
SPREAD = (0.002, 0.004)  # of log losses: between trunks, and within one


def write_corpus(folder: Path) -> Path:
    """Two megabytes that a model can learn something from, in forty files."""
    make_folder(folder)
    for i in range(40):
        lines = [f"item {i} has value {i * j % 97}; the next is {(i * j + 1) % 97}." for j in range(1300)]
        (folder / f"{i:02d}.txt").write_text("\n".join(lines))
    return folder


def base(folder: Path, name: str) -> list[str]:
    """Overrides that every study here has; all it writes lies in `folder`."""
    corpus = folder / "corpus"
    if not corpus.is_dir():
        write_corpus(corpus)
    return [
        *(
            f"name={name}",
            "question=What does the harness take?",
            f"runs={folder}/runs",
            f"cache={folder}/cache",
        ),
        *("tracking=off", "data=text", f"data.paths=[{corpus}/*.txt]", "data.vocab=256", "data.context=64"),
        "data.heldout_fraction=0.1",
        *("training.threads=1", "training.precision=float32", "training.device=cpu"),
    ]


def study_of(runs: int, folder: Path) -> list[str]:
    """Overrides of a study with so many runs: twenty sizes by five budgets by seeds; five by two for 10."""
    sizes, budgets = (SIZES, BUDGETS) if runs >= SIZES * BUDGETS else (5, 2)
    seeds = max(1, runs // (sizes * budgets))
    shapes = get_family("decoder").ladder[: 2 * sizes : 2]
    params = ",".join(str(get_family("decoder").params(shape)) for shape in shapes)
    tokens = ",".join(f"{d:.0f}" for d in np.geomspace(1e6, 1e8, budgets))
    return [
        *base(folder, f"runs-{runs}"),
        f"model.params={params}",
        f"budget.tokens=[{tokens}]",
        f"seed=range({seeds})",
    ]


def write_records(overrides: list[str]) -> Plan:
    """The plan of a study and a record for each of its runs, by the functions that training uses."""
    plan = plan_study(overrides)
    save_plan(plan)
    rng = np.random.default_rng(0)
    for trunk in plan.trunks:
        folder = make_folder(plan.folder / trunk.spec.id)
        attempt = new_attempt(folder, {"device": "cpu", "threads": 1})
        bump = rng.normal(scale=SPREAD[0])
        for run in trunk.runs:
            commit_record(folder, invent(trunk, run, plan.name, bump + rng.normal(scale=SPREAD[1]), attempt))
    return plan


def invent(trunk: Trunk, run: RunSpec, study: str, noise: float, attempt: int = 1) -> RunRecord:
    """A finished run whose loss follows a known law."""
    loss = float(TRUTH(N=trunk.params, D=run.tokens)) * float(np.exp(noise))
    return RunRecord(
        **trunk.decided(run),
        study=study,
        status="done",
        tokens=run.tokens,
        tokens_unique=run.tokens,
        epochs=run.tokens / 1e9,
        flops=trunk.flops_per_token * run.tokens,
        flops_6nd=6.0 * trunk.params * run.tokens,
        loss=loss,
        loss_se=0.004,
        bits_per_byte=loss / float(np.log(2)),
        device="cpu",
        precision="float32",
        threads=1,
        seconds=run.tokens / 1e5,
        attempts=attempt,
        started="2026-11-02T10:00:00+00:00",
        finished="2026-11-02T10:05:00+00:00",
        versions={"python": "3.11", "torch": "2.13.0", "numpy": "2.0", "machine": "x86_64"},
    )
