"""What is asked, and every way of asking wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scaling.study.compose import PlanError, compose_study
from scaling.study.decide import curve_steps, enough_tokens, warmup_steps
from scaling.study.plan import plan_study
from scaling.study.sources import config_folder


def test_a_grid_becomes_trunks_and_runs(tiny_study: list[str]) -> None:
    plan = plan_study(tiny_study)
    assert plan.name == "tiny"
    assert [trunk.params for trunk in plan.trunks] == [4774, 7866]
    assert [[run.tokens for run in trunk.runs] for trunk in plan.trunks] == [[2048, 4992], [2048, 4992]]
    for trunk, run in plan.runs:
        assert run.branch_step + run.cooldown_steps == run.steps
        assert trunk.spec.warmup_steps < run.branch_step
    rows = plan.to_dict()["runs"]
    assert [row["run_id"] for row in rows] == [run.id for _, run in plan.runs]


def test_planning_twice_gives_the_same_ids(tiny_study: list[str]) -> None:
    ids = [[run.id for _, run in plan_study(tiny_study).runs] for _ in range(2)]
    assert ids[0] == ids[1]


def test_budgets_in_tokens_per_param_and_compute(tiny_study: list[str]) -> None:
    plan = plan_study([*tiny_study, "budget.tokens=null", "budget.tokens_per_param=[0.5, 1]"])
    for trunk, run in plan.runs:
        assert min(abs(run.tokens / trunk.params - r) for r in (0.5, 1)) < 0.02
    plan = plan_study([*tiny_study, "budget.tokens=null", "budget.compute=2e8"])
    for trunk, run in plan.runs:
        assert run.tokens * trunk.flops_per_token == pytest.approx(2e8, rel=0.03)


def test_a_smaller_list_of_budgets_shares_the_trunk(tiny_study: list[str]) -> None:
    both = plan_study(tiny_study)
    one = plan_study([*tiny_study, "budget.tokens=2e3"])
    assert [t.spec.id for t in one.trunks] == [t.spec.id for t in both.trunks]
    assert {run.id for _, run in one.runs} < {run.id for _, run in both.runs}


def test_jobs_that_ask_different_budgets_of_one_trunk_are_joined(tiny_study: list[str]) -> None:
    plan = plan_study([*tiny_study, "model.params=5e3", "budget.tokens=[2e3],[5e3]"])
    assert len(plan.trunks) == 1
    assert [run.tokens for run in plan.trunks[0].runs] == [2048, 4992]


def test_cosine_trains_each_budget_on_its_own(tiny_study: list[str]) -> None:
    plan = plan_study([*tiny_study, "training.schedule=cosine"])
    assert len(plan.trunks) == 4
    assert all(run.cooldown_steps == 0 and trunk.spec.horizon == run.steps for trunk, run in plan.runs)


def test_every_study_of_the_repository_composes() -> None:
    studies = sorted(path.stem for path in (config_folder() / "study").glob("*.yaml"))
    assert {"demo", "smoke", "learning_rate"} <= set(studies)
    for study in studies:
        jobs = compose_study([f"study={study}"]).jobs
        assert jobs
        assert all(job.config.name == study and job.config.question for job in jobs)


@pytest.mark.parametrize(
    "overrides",
    [
        ["study=smoke", "seed=3,4", "training.clip=2,3", "training.beta1=0.5"],
        ["seed=1,2", "seed=7"],  # the later one wins, swept or not
        ["budget.tokens=[1e4,2e4],3e4", "training={clip: 2.5, cooldown: 0.1}", "training.cooldown=0.3"],
        ["name=run-${seed}", "seed=1,2"],  # one section that speaks of another
        ["+data.settings.exponent=1.5", "+data.settings={floor: 2},{floor: 3}"],
        ["model=lstm,decoder", "rates=steplaw,measured", "model.params=1e4,2e4", "tasks=[recall]"],
    ],
)
def test_configs_are_those_of_hydra(overrides: list[str]) -> None:
    asked = ["budget.tokens=1e5", "model.params=5e3", *overrides]
    jobs = compose_study(asked).jobs
    assert len(jobs) == len({repr(job) for job in jobs})
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        for job in jobs:
            assert job.config == OmegaConf.to_object(compose("config", list(job.overrides)))


def test_the_rule_of_one_optimizer_is_set_as_the_message_says() -> None:
    asked = ["budget.tokens=1e5", "model.params=5e3", "optimizer=muon"]
    with pytest.raises(PlanError) as refused:
        compose_study([*asked, "rates.decoder.muon.rate=0.02"])
    advice = str(refused.value).rpartition("'rates=")[2].rstrip("'").replace("VALUE", "0.02")
    before, after = (compose_study([*asked, *more]).jobs[0].config for more in ([], [f"rates={advice}"]))
    rule, changed = before.rates["decoder.muon"], after.rates["decoder.muon"]
    assert (changed.rate, changed.params_exponent) == (0.02, rule.params_exponent)
    assert rule.rate != 0.02


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.params=3e3,5e3"], r"1 of 2 jobs cannot be decided; nothing was trained\."),
        (["model.params=3e3"], r"no shape within 15% of 3,000 parameters; the nearest is 4,774"),
        (["model.family=lstn"], r"no family named 'lstn'\. Did you mean 'lstm'\? There are "),
        (
            ["budget.compute=1e9"],
            r"budget: give exactly one of tokens.*\n.*budget\.tokens=null unsets what a study sets",
        ),
        (["budget.tokens=null"], r"budget: give exactly one of tokens.*got none"),
        (["budget.tokens=-3"], r"budget\.tokens: positive numbers are needed; got -3"),
        (["budget.tokens=many"], r"budget\.tokens: positive numbers are needed; got 'many'"),
        (["budget.tokens=[]"], r"budget\.tokens: positive numbers are needed; got \[\]"),
        (["budget.tokens=100"], r"128 tokens are 1 steps of 128, of which 3 warm up and 1 cool down"),
        (["model.width=16"], r"model: give either params, or both width and depth"),
        (["study=demoo"], r"study=demoo: there is no demoo\. Did you mean study=demo\? There are cooldown, "),
        (
            ["optimizer=adamW"],
            r"Did you mean optimizer=adamw\?.*extension registers: optimizer\.name=adamW",
        ),
        (["model=decodr"], r"model=decodr: there is no decodr\. Did you mean model=decoder\?"),
        (["demo"], r"demo: an override is KEY=VALUE\. A study is named study=demo"),
        (["+optimizer=muon"], r"optimizer: chosen already\. Write optimizer=NAME without the \+"),
        (["training.learning_rate=it's"], r"Hydra cannot read this value\. If it is text, quote it: "),
        (["data.corpus='${oc.create:{_target_: os.mknod}}'"], r"no corpus|corpus"),
        (["mdel.params=1e4"], r"no key mdel\.params; did you mean model\.params\?"),
        (["training.sequence=3"], r"training has no key sequence; did you mean training\.sequences\?"),
        (["+training.lr=0.5"], r"training has no key lr; did you mean training\.learning_rate\?"),
        (["++wd=0.5,0.1"], r"no key wd; did you mean training\.weight_decay\?"),
        (["+params=1e4"], r"no key params; did you mean model\.params\?"),
        (["batch_size=4"], r"no key batch_size; did you mean training\.sequences\?"),
        (["mdel=lstm"], r"no key mdel; did you mean model\?"),
        (["studdy=smoke"], r"no key studdy; did you mean study\?"),
        (["rates.lstm.rte=1"], r"rates\.lstm has no key rte; did you mean rate\?"),
        (["rates.decoder.muon.rate=1"], r"is set as 'rates=\{decoder\.muon: \{rate: VALUE\}\}'"),
        (["+repeat=range(3)"], r"no key repeat; for repeats sweep seed=0,1,2"),
        (
            ["+zzz=1", "+training.qqq=1"],
            r"no key zzz; there are name, .*\ntraining has no key qqq; ",
        ),
        (["+hydra.lancher.x=1"], r"hydra has no key lancher\.x; there are .*launcher"),
        (
            ["hydra.launcher.typo=1"],
            r"Could not override 'hydra\.launcher\.typo'\.\nKey 'typo' is not in struct",
        ),
        (["+hydra.sweeper.n_trials=3"], r"a grid has no use for hydra\.sweeper\.n_trials; leave it out"),
        (["hydra.sweeper.max_batch_size=2"], r"max_batch_size \(workers=N says how many train at a time\)"),
        (["training.clip=interval(1,2)"], r"an interval has no list of values.*hydra/sweeper=optuna"),
        (["hydra.searchpath=[file:///nowhere]"], r"path=/nowhere is not available"),
        (["study=./nowhere.yaml"], r"study=\./nowhere\.yaml: no such file: /.*nowhere\.yaml"),
        (["workers=1,2"], r"workers: one value per study; study tiny got 1, 2\. Run the command for each"),
        (["training.threads=1,2"], r"training\.threads: one value per study"),
        (["name=''"], r"name: '' cannot be a folder's name"),
        (["name='a b'"], r"name: 'a b' cannot be a folder's name.*; e\.g\. name=a-b\."),
        (["name='../../escaped'"], r"'\.\./\.\./escaped' cannot be .*; e\.g\. name=escaped\."),
        (["name=.hidden"], r"'\.hidden' cannot be a folder's name"),
        (["name=/abs"], r"'/abs' cannot be a folder's name"),
        (["name=x${seed}/y"], r"'x0/y' cannot be a folder's name"),
        (["seed=one"], r"^seed: a whole number is needed; got 'one'\.$"),
        (["data.vocab=1e"], r"^data\.vocab: a number is needed; got '1e'\.$"),
        (["training.compile=maybe"], r"^training\.compile: true or false is needed; got 'maybe'\.$"),
        (["tracking=ofline"], r"tracking: one of auto, .* is needed; got 'ofline'\. Did you mean offline\?"),
        (
            ["training.schedule=cosin"],
            r"training\.schedule: no schedule named 'cosin'\. Did you mean 'cosine'\?",
        ),
        (["training.cooldown=1.5"], r"training\.cooldown: from 0 to below 1; got 1\.5"),
        (["training.clip=0"], r"training\.clip: a positive, finite number is needed; got 0"),
        (["training.evaluation_tokens=much"], r"evaluation_tokens: a number, or auto; got 'much'"),
        (["training.evaluation_tokens=0"], r"evaluation_tokens: a positive, finite number is needed; got 0"),
        (["training.microbatch=3"], r"training\.microbatch: must divide training\.sequences = 4; got 3"),
        (["study=demmo"], r"study=demmo: there is no demmo\. Did you mean study=demo"),
        (["data.paths=[/nowhere/*.txt]"], r"/nowhere/\*\.txt"),
        (["data.corpus=webtext"], r"no corpus 'webtext'.*python_source"),
        (
            ["data.context=100000"],
            r"[\d,]+ tokens are too few for one batch of 16 sequences of 100000",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_trains(
    tiny_study: list[str], overrides: list[str], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        plan_study([*tiny_study, *overrides])


def test_all_bad_jobs_are_reported_not_the_first_only(tiny_study: list[str]) -> None:
    with pytest.raises(PlanError) as error:
        plan_study([*tiny_study, "model.params=3e3,5e3,2e9", "training.cooldown=0.2,2"])
    text = str(error.value)
    assert "3 of 6 jobs" in text
    assert "training.cooldown" in text
    with pytest.raises(PlanError) as error:
        plan_study([*tiny_study, "model.params=3e3,5e3,2e9"])
    assert "of 3,000 parameters" in str(error.value)
    assert "of 2,000,000,000 parameters" in str(error.value)
    assert "- model.params=3000.0:\n" in str(error.value)  # only what tells the jobs apart


def test_an_empty_corpus_is_refused(tiny_study: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(PlanError, match=r"empty"):
        plan_study([*tiny_study, f"data.paths=[{tmp_path}/empty.txt]"])


def test_warmup_is_no_longer_than_a_token_a_parameter() -> None:
    assert warmup_steps(32, params=10**6, batch_tokens=2048) == 32
    assert warmup_steps(32, params=6000, batch_tokens=2048) == 2
    assert warmup_steps(32, params=100, batch_tokens=2048) == 1
    assert warmup_steps(0, params=10**6, batch_tokens=2048) == 0


def test_evaluation_tokens_by_rule_are_those_given_as_a_number(tiny_study: list[str]) -> None:
    auto, given = (
        plan_study([*tiny_study, f"training.evaluation_tokens={tokens}"]).runs for tokens in ("auto", 32768)
    )
    assert [run for _, run in auto] == [run for _, run in given]
    assert [enough_tokens("causal", context) for context in (32, 128, 200, 512)] == [
        2**15,
        2**16,
        2**17,
        2**17,
    ]
    assert enough_tokens("masked", 128) == enough_tokens("seq2seq", 128) == 2**17


def test_curve_steps_are_even_in_log_steps_wherever_the_trunk_ends(tiny_study: list[str]) -> None:
    trunk = plan_study(tiny_study).trunks[0]
    first = trunk.spec.warmup_steps
    steps = curve_steps(2, trunk.spec, 1000 * first)
    assert [steps[0], *steps[2::2]] == [first, 10 * first, 100 * first, 1000 * first]
    for last in (first, 10 * first, 200 * first):
        assert curve_steps(2, trunk.spec, last) == tuple(step for step in steps if step <= last)
    assert curve_steps(0, trunk.spec, 1000) == ()
