"""Every registered optimizer and schedule, and batch ramps: no bit depends on how a study was run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.capability.finished import open_finished
from scaling.data.corpora import open_dataset
from scaling.recipe.cooldown import COOLDOWNS
from scaling.recipe.optimizers import OPTIMIZERS, OptimizerOptions
from scaling.recipe.optimizers.stacked_muon import StackedMuon
from scaling.recipe.schedules import SCHEDULES
from scaling.records.record import read_study
from scaling.registry import forget
from scaling.study.cautions import repetitions, tau_drifts
from scaling.study.keys import NAMED
from scaling.study.plan import PlanError, plan_study
from scaling.training import segment
from scaling.training.evaluate import evaluate
from scaling.training.train import train_trunk
from tests.training.test_train import StopAfter, Stopped, results

RECIPES = {
    **{name: [f"optimizer={name}"] for name in OPTIMIZERS},
    **{name: [f"training.schedule={name}"] for name in SCHEDULES if name != "trunk"},
    **{
        f"cooldown {name}": [f"training.cooldown_shape={name}", "training.cooldown_floor=0.1"]
        for name in COOLDOWNS
    },
    "no cooldown": ["optimizer=schedule_free", "training.cooldown=0"],
    "ramp": ["training.batch_ramp=[[400,6],[900,8]]", "training.warmup_tokens=256"],
    "power and a ramp": [
        *(
            "training.schedule=power",
            "training.schedule_settings={knee: 500}",
            "training.batch_ramp=[[700,12]]",
        ),
    ],
    "tau": ["training.tau=0.3"],
}


def plan_of(tiny_study: list[str], *overrides: str):  # type: ignore[no-untyped-def]
    if any("schedule_free" in line for line in overrides):
        pytest.importorskip("schedulefree")
    return plan_study(
        [
            *(line for line in tiny_study if not line.startswith("training.curve")),
            *("model.params=5e3", "budget.tokens=[1100,2300]", "training.learning_rate=5e-3"),
            *("training.evaluation_tokens=512", "training.curve_evaluations=2", "training.curve_tokens=256"),
            *overrides,
        ]
    )


# One of each kind of state; what else there is goes the same way.
KINDS = {"adamw", "muon", "schedule_free", "cosine", "ramp", "no cooldown"}


@pytest.mark.parametrize(
    "recipe", [pytest.param(r, marks=() if r in KINDS else pytest.mark.slow) for r in RECIPES]
)
def test_kills_and_shared_trunks_change_no_bit(
    recipe: str, tiny_study: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed again and again, or each budget trained alone: the bits of an untouched study."""
    plan = plan_of(tiny_study, *RECIPES[recipe])
    dataset = open_dataset(plan.trunks[0].spec.data, plan.config.cache)

    def train(trunk, name: str, observer=None):  # type: ignore[no-untyped-def]
        return train_trunk(trunk, dataset, tmp_path / name, study="tiny", threads=1, observer=observer)

    together = {}
    for trunk in plan.trunks:
        for run, record in zip(trunk.runs, train(trunk, "untouched"), strict=True):
            together[run.id] = record.loss
            assert record.status == "done"
            assert record.tokens == run.tokens
            assert record.flops == trunk.flops_per_token * run.tokens
            rows = (
                (tmp_path / "untouched" / trunk.spec.id / run.id / "metrics.jsonl").read_text().splitlines()
            )
            if rows:
                assert json.loads(rows[-1])["tokens"] == run.tokens
    for trunk in plan.trunks:
        for run in trunk.runs:
            (alone,) = train(replace(trunk, runs=(run,)), run.id)
            assert alone.loss == together[run.id]
    monkeypatch.setattr(segment, "CHECKPOINT_SECONDS", 0.0)  # a checkpoint a step
    rng, stops = np.random.default_rng(0), 0
    for trunk in plan.trunks:
        while True:
            try:
                train(trunk, "stopped", StopAfter(int(rng.integers(2, 14))))
                break
            except Stopped:
                stops += 1
    assert stops
    assert results(tmp_path / "stopped") == results(tmp_path / "untouched")
    assert len(read_study(tmp_path / "stopped").records) == 2


def test_averaged_weights_are_what_is_judged_kept_and_opened(tiny_study: list[str], tmp_path: Path) -> None:
    plan = plan_of(tiny_study, "optimizer=schedule_free", "training.cooldown=0")
    trunk, run = plan.trunks[0], plan.trunks[0].runs[-1]
    dataset = open_dataset(trunk.spec.data, plan.config.cache)
    records = train_trunk(trunk, dataset, tmp_path, study="tiny", threads=1)
    folder = tmp_path / trunk.spec.id / run.id
    subject = open_finished(folder, dataset=dataset).subject
    rows = dataset.heldout_batches(32, 16, run.evaluation_tokens)
    assert evaluate(subject.model, "causal", rows, dataset, "cpu").loss == records[-1].loss


def test_a_curve_that_is_drawn_changes_no_bit_of_an_averaging_optimizer(
    tiny_study: list[str], tmp_path: Path
) -> None:
    losses = []
    for count in (0, 5):
        plan = plan_of(tiny_study, "optimizer=schedule_free", f"training.curve_evaluations={count}")
        dataset = open_dataset(plan.trunks[0].spec.data, plan.config.cache)
        records = train_trunk(plan.trunks[0], dataset, tmp_path / str(count), study="tiny", threads=1)
        losses.append([record.loss for record in records])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_has_its_config_and_is_part_of_the_id(name: str, tiny_study: list[str]) -> None:
    plan = plan_of(tiny_study, f"optimizer={name}")
    spec = plan.trunks[0].spec
    assert spec.optimizer == name
    assert dict(spec.optimizer_settings) == dict(OPTIMIZERS[name].settings)
    assert (spec.identity().get("optimizer") is None) == (name == "adamw")


def test_completion_knows_every_name() -> None:
    known = {
        "training.schedule": SCHEDULES,
        "training.cooldown_shape": COOLDOWNS,
        "optimizer.name": OPTIMIZERS,
    }
    assert {key: list(registry) for key, registry in known.items()} == {k: list(v) for k, v in NAMED.items()}


def test_optimizers_are_swept_and_their_settings_are_checked(tiny_study: list[str]) -> None:
    plan = plan_of(tiny_study, "optimizer=adamw,sgd")
    assert {trunk.spec.optimizer for trunk in plan.trunks} == {"adamw", "sgd"}
    for overrides, message in (
        (["optimizer.name=adam"], r"optimizer: no optimizer named 'adam'\. Did you mean 'adamw'\?"),
        (["optimizer=sgd", "optimizer.settings.momentom=0.5"], r"did you mean momentum\?"),
        (["optimizer=sgd", "training.beta2=0.9"], r"training\.beta2: optimizer 'sgd' has no use for it"),
        (["optimizer=sgd", "training.parametrisation=mup"], r"mup is not for optimizer 'sgd': its factors"),
        (["optimizer=muon", "training.parametrisation=completep"], "were derived for Adam"),
        (["optimizer=adafactor", "training.parallel=fsdp"], "moments are rows and columns of whole matrices"),
        (["optimizer=sgd", "training.tau=0.1"], "passes through its momentum"),
        (["training.tau=0.1", "training.weight_decay=0.2"], "not both"),
        (
            ["training.learning_rate=null", "optimizer=sgd"],
            r"was measured .* under optimizer 'sgd'",
        ),
        (["training.batch_ramp=[[1,2,3]]"], r"a list of \[tokens seen, sequences from there on\]"),
        (["training.batch_ramp=[[20,8],[10,16]]"], "must ascend"),
    ):
        with pytest.raises(PlanError, match=message):
            plan_of(tiny_study, *overrides)


def test_muon_takes_the_matrices_of_blocks_and_adamw_the_rest() -> None:
    wide = torch.nn.Parameter(torch.zeros(4, 8))
    parameters = [
        ("embedding.weight", torch.nn.Parameter(torch.zeros(9, 4)), "embedding"),
        ("block.up.weight", wide, "hidden"),
        ("block.conv.weight", torch.nn.Parameter(torch.zeros(4, 1, 3)), "hidden"),
        ("norm.gain", torch.nn.Parameter(torch.ones(4)), "vector"),
    ]
    muon = OPTIMIZERS["muon"]
    made = muon.make(parameters, OptimizerOptions(0.1, 0.0, settings=muon.settings))
    first = made.param_groups[0]
    assert [id(p) for p in first["params"]] == [id(wide)]
    wide.grad = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    first["lr"] = 0.1
    made.step()
    values = torch.linalg.svdvals(wide.detach() / (0.1 * 0.2 * 8**0.5))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_a_ramp_counts_tokens_exactly(tiny_study: list[str]) -> None:
    plan = plan_of(tiny_study, "training.batch_ramp=[[400,6],[900,8]]")
    spec = plan.trunks[0].spec
    # Batches of 4 x 32 tokens up to 400 (4 steps, 512), of 6 x 32 up to 900 (7 steps, 1,088), then of 8 x 32.
    assert spec.batch_ramp == ((4, 6), (7, 8))
    assert [spec.tokens(n) for n in (4, 7, 8)] == [512, 1088, 1344]
    dataset = open_dataset(spec.data, plan.config.cache)
    batches = dataset.batches(32, spec.batch_sizes, 0)
    plain = dataset.batches(32, 1, 0)
    seen = np.concatenate([batches.batch(step) for step in range(9)])
    assert len(seen) * 32 == spec.tokens(9) == batches.tokens(9)
    assert (seen == np.concatenate([plain.batch(row) for row in range(len(seen))])).all()
    assert plan.trunks[0].flops == plan.trunks[0].flops_per_token * plan.trunks[0].tokens_to_train


def test_warmup_tokens_and_the_batch_rule(tiny_study: list[str]) -> None:
    spec = plan_of(tiny_study, "training.warmup_tokens=640").trunks[0].spec
    assert spec.tokens(spec.warmup_steps) == 640
    rule = "training.batch_rule={tokens: 4096, tokens_exponent: 0.5}"
    spec = plan_of(tiny_study, "training.sequences=auto", rule, "budget.tokens=[10000]").trunks[0].spec
    assert spec.sequences == round(4096 * (1e4 / 1e6) ** 0.5 / 32)


def test_tau_is_what_was_asked_at_every_budget(tiny_study: list[str]) -> None:
    plan = plan_of(tiny_study, "training.tau=0.25", "budget.tokens=[1000,10000]")
    assert len(plan.trunks) == 2
    for trunk, run in plan.runs:
        assert trunk.tau(run) == pytest.approx(0.25, rel=1e-2)
    by_rule = plan_of(tiny_study, "training.tau=rule", "training.tau_rule={tau: 1, exponent: -0.5}")
    for trunk, run in by_rule.runs:
        assert trunk.tau(run) == pytest.approx((run.tokens / trunk.params) ** -0.5, rel=2e-2)


def test_a_drift_of_tau_is_warned_about(tiny_study: list[str]) -> None:
    assert tau_drifts(plan_of(tiny_study)) == []
    (line,) = tau_drifts(plan_of(tiny_study, "budget.tokens=[1280,12800]"))
    assert "drifts 10-fold" in line
    assert tau_drifts(plan_of(tiny_study, "budget.tokens=[1280,12800]", "training.tau=rule")) == []


def test_a_corpus_that_is_read_twice_is_warned_about(tiny_study: list[str]) -> None:
    plan = plan_of(tiny_study)
    assert repetitions(plan) == []
    once = max(run.tokens for _, run in plan.runs) / max(trunk.epochs or 0 for trunk in plan.trunks)
    (line,) = repetitions(plan_of(tiny_study, f"budget.tokens=[2e3,{2 * once:.0f}]"))
    assert "the training part of the corpus 2 times" in line


def test_the_page_on_optimizers_of_ones_own_works_as_written(tiny_study: list[str], tmp_path: Path) -> None:
    """The optimizer and the schedule of docs/your-optimizer.md train, and a resume gives the same bits."""
    page = (Path(__file__).parents[2] / "docs" / "your-optimizer.md").read_text()
    file = tmp_path / "my_recipe.py"
    file.write_text("\n\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)))
    plan = plan_of(
        tiny_study,
        *(f"extensions=[{file}]", "optimizer.name=sign_momentum", "optimizer.settings.momentum=0.8"),
        *("training.schedule=halves", "training.schedule_settings={every: 512}"),
    )
    (trunk,) = plan.trunks
    assert any(line.startswith("my_recipe ") for line in trunk.spec.extensions)
    dataset = open_dataset(trunk.spec.data, plan.config.cache)
    once = train_trunk(trunk, dataset, tmp_path / "once", study="tiny", threads=1)
    for runs in (trunk.runs[:1], trunk.runs):
        twice = train_trunk(replace(trunk, runs=runs), dataset, tmp_path / "twice", study="tiny", threads=1)
    assert [record.loss for record in once] == [record.loss for record in twice]
    assert once[0].schedule == "halves"
    forget("my_recipe")


def test_stacked_muon_is_pytorchs() -> None:
    """Updates agree to what bfloat16 rounds, for tall, wide and square matrices, several of a shape."""
    shapes = [(24, 8), (8, 8), (32, 8), (8, 32), (8, 8)]
    draw = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=draw) for shape in shapes]
    ours, theirs = ([torch.nn.Parameter(matrix.clone()) for matrix in start] for _ in range(2))
    options = {"lr": 0.01, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    stacked, plain = StackedMuon(ours, **options), torch.optim.Muon(theirs, **options)  # type: ignore[arg-type]
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=draw)
            other.grad = one.grad.clone()
        stacked.step()
        plain.step()
    for one, other, first in zip(ours, theirs, start, strict=True):
        moved = (other - first).abs().mean()
        assert (one - other).abs().mean() < 0.02 * moved
    plain.load_state_dict(stacked.state_dict())  # checkpoints are PyTorch's too
