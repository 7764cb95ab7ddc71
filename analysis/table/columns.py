"""What columns are called: our names, what their numbers must be, and the aliases that mean one thing."""

from __future__ import annotations

import re
from functools import lru_cache

# Columns of whole numbers; they are shown as such where every row has one.
COUNTS = (
    *("params", "params_matmul", "params_total", "tokens", "tokens_unique", "batch_tokens", "steps", "vocab"),
    *("context", "width", "depth", "cooldown_steps", "threads", "attempts", "seed"),
)
# What a number must be to be believed. Units are those of the run record. `x` is the one input of a curve
# that is none of ours, as in x=Seen Examples.
POSITIVE = (
    *("params", "params_matmul", "params_total", "tokens", "tokens_unique", "epochs", "flops", "flops_6nd"),
    *("loss", "bits_per_byte", "learning_rate", "batch_tokens", "steps", "vocab", "context", "width"),
    *("depth", "x", "vocab_params", "density", "experts", "parallel", "examples", "bits"),
    *("teacher_loss", "alone_loss"),
)
SHARES = ("r1", "r2", "r3", "r4")  # of domains in the data
NON_NEGATIVE = ("loss_se", "cooldown_steps", "seconds", "threads", "attempts", *SHARES)
NUMBERS = (*POSITIVE, *NON_NEGATIVE, "seed")
TEXTS = (
    *("run_id", "trunk_id", "study", "status", "family", "objective", "schedule", "data", "data_fingerprint"),
    *("device", "precision", "started", "finished", "reason"),
)
KNOWN = NUMBERS + TEXTS
# Inputs of laws without tokens: where one is mapped, the table is read for such a law.
OWN_INPUTS = ("experts", "parallel", "examples", *SHARES)
# Columns that no record has.
LAW_INPUTS = ("vocab_params", "density", "bits", "teacher_loss", "alone_loss", *OWN_INPUTS)
# What these mean, with the unit first, as the comments of `RunRecord` say it of the others.
MEANINGS = {
    "x": "the one input of a curve; always mapped, as in x=Seen Examples",
    "vocab_params": "[parameters] size of embedding and output layer, which grow with the vocabulary",
    "density": "share of the weights that sparse training leaves: 1 - sparsity",
    "experts": "experts of a mixture",
    "parallel": "parallel streams P of one model",
    "examples": "labelled examples that a model is fine-tuned on",
    "bits": "[bits] bits of a weight after training; 32 where it was not rounded",
    "teacher_loss": "[nats/token] loss of the teacher of a distilled run",
    "alone_loss": "[nats/token] loss of the same student without a teacher",
    **{f"r{i}": f"share of domain {i} in the data" for i in range(1, 5)},
}
QUANTITIES = (
    "params",
    "tokens",
    "tokens_unique",
    "flops",
    "x",
)  # what a law may take the loss as a function of

# Only names that mean one thing wherever they are seen. `train_loss`, `ppl`, `size` or `step` are not here:
# guessing them would put a wrong number into a fit without a word. Compared without case and punctuation,
# but N, D, C and L as they are: `d` is a width as often as it is data.
_ALIASES = """
params: N n_params num_params parameters n_parameters num_parameters parameter_count param_count params_count
  model_size model_params model_parameters
params_total: total_params n_params_total num_params_total total_parameters n_total num_total_params
  n_total_params params_with_embedding params_with_embeddings params_with_emb n_with_emb
tokens: D n_tokens num_tokens num_token train_tokens training_tokens num_train_tokens n_train_tokens
  total_train_tokens tokens_seen seen_tokens tokens_trained trained_tokens total_tokens num_training_tokens
  n_training_tokens training_tokens_seen
tokens_unique: unique_tokens num_unique_tokens n_unique_tokens unique_train_tokens unique_data_tokens
epochs: num_epochs n_epochs num_train_epochs
flops: C flop compute training_flop training_flops train_flop train_flops total_flops total_flop
  training_compute train_compute total_compute compute_flops compute_flop num_flops flops_budget flop_budget
  compute_budget
loss: L val_loss valid_loss validation_loss eval_loss test_loss held_out_loss heldout_loss final_val_loss
  final_eval_loss final_validation_loss loss_val loss_valid loss_validation loss_eval loss_test
loss_se: loss_stderr val_loss_se eval_loss_se loss_standard_error val_loss_stderr
bits_per_byte: bpb val_bpb val_bits_per_byte eval_bits_per_byte
learning_rate: lr peak_lr max_lr peak_learning_rate max_learning_rate
batch_tokens: batch_size_tokens tokens_per_batch tokens_per_step batch_size_in_tokens
family: model_family architecture arch
data: dataset dataset_name corpus
data_fingerprint: data_hash dataset_fingerprint
context: context_length seq_len seq_length sequence_length ctx_len context_len
vocab: vocab_size n_vocab vocabulary_size
width: d_model hidden_size n_embd
depth: n_layers n_layer num_layers num_hidden_layers
seed: random_seed rep replicate
seconds: runtime wall_clock_seconds
trunk_id: trunk
status: state run_state run_status job_state job_status slurm_state
"""
ALIASES: dict[str, tuple[str, ...]] = {
    ours: tuple(names.split())
    for ours, names in re.findall(r"^(\w+):((?:.|\n  )*)", _ALIASES, flags=re.MULTILINE)
}

# Columns of truth values that say whether a run has a result, and what a true cell means.
FLAGS = {
    **dict.fromkeys(
        [
            "finished",
            "is_finished",
            "completed",
            "is_complete",
            "is_completed",
            "is_done",
            "success",
            "succeeded",
        ],
        "done",
    ),
    **dict.fromkeys(["diverged", "is_diverged", "has_diverged"], "diverged"),
    **dict.fromkeys(
        [
            "crashed",
            "is_crashed",
            "has_crashed",
            "failed",
            "is_failed",
            "has_failed",
            "killed",
            "preempted",
            "oom",
        ],
        "failed",
    ),
}
_EMBEDDING_FREE = re.compile(
    r"(n|num|params|parameters|n_params|num_params|model)?_?(no|non|wo|without|excl|excluding)_?"
    r"(emb|embd|embed|embedding|embeddings)(_(n|params?|parameters|size))?"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # in runState and valLoss
# How W&B and others mark a run's settings and results; `config.lr` is `lr`.
_SECTION = re.compile(r"(config|summary|hparams|hyperparameters|args|metrics)[./]", re.IGNORECASE)


@lru_cache(maxsize=100_000)
def plain(name: str) -> str:
    """A name without case, punctuation and the section it stands in: `config.Model Size` is model_size."""
    return re.sub(r"[^a-z0-9]+", "_", _SECTION.sub("", name.strip(), count=1).casefold()).strip("_")


def means(theirs: str, ours: str) -> bool:
    """Whether a column of a stranger's can only be the one of ours."""
    known = ALIASES.get(ours, ())
    if len(short := _SECTION.sub("", theirs.strip(), count=1)) == 1:
        return short in known
    for word in (plain(theirs), plain(_CAMEL.sub("_", theirs))):
        if (word == ours and ours != "x") or word in known:
            return True
        if ours == "params" and _EMBEDDING_FREE.fullmatch(word):
            return True
    return False


def without_embedding(name: str) -> bool:
    """Whether a column of parameters says itself that it leaves the embedding out."""
    return _EMBEDDING_FREE.fullmatch(plain(name)) is not None


def is_known(name: str) -> bool:
    """Whether a column name is one of ours, or an alias of one."""
    return any(means(name, ours) for ours in KNOWN)
