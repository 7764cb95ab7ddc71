"""What a column is by its name alone, where the name means one thing in every table of training runs."""

from __future__ import annotations

import re
from collections.abc import Mapping

QUANTITY = "quantity"  # N, D, C, loss, and what is counted from them
INPUT = "input"  # of a law, beside N and D
REPLICATE = "replicate"
BOOKKEEPING = "bookkeeping"
MEASURED = "measured"  # if it holds numbers
SHAPE = "shape"  # what N is made of, if it holds numbers
REMARK = "remarks"  # of a person, about single runs
RECIPE = "recipe"  # losses or laws of two values are never one: data, optimizer, schedule, …
RATE = "rate"  # learning rates and batches: what people sweep
SETTING = "setting"  # any other hyper-parameter
UNKNOWN = ""  # the values decide


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EXACT: Mapping[str, frozenset[str]] = {
    QUANTITY: _words(
        """params params_matmul params_total params_active params_encoder params_decoder
        tokens flops flops_6nd loss loss_se bits_per_byte"""
    ),
    INPUT: _words("tokens_unique unique_tokens epochs x"),
    REPLICATE: _words("seed rep replica replicate trial fold rng random_state"),
    BOOKKEEPING: _words(
        """run_id trunk_id status state run_state is_final is_last final_checkpoint last_checkpoint
        index idx user author owner url link path paths file
        filename dir directory output_dir commit git_commit git_sha sha versions attempts
        code code_accepted
        device devices threads workers num_workers host hostname machine node nodes cluster
        gpu gpus gpu_type gpu_count n_gpus num_gpus world_size compile
        microbatch micro_batch micro_batch_size grad_accum gradient_accumulation_steps
        seconds runtime duration elapsed hours minutes wall_time wall_clock walltime time timestamp date
        created created_at updated started start_time finished end_time
        evaluation_tokens precision_asked origin start decay_tau"""
    )
    # What a spec says of its data is part of `data_fingerprint`, or of the unique tokens.
    | _words(
        """data_paths data_id_paths data_field data_limit_bytes data_heldout_fraction data_subset data_split
        data_revision data_settings data_row_tokens data_train_tokens"""
    ),
    MEASURED: _words("transferred chance"),
    REMARK: _words("note notes comment comments remark remarks memo description details"),
    RECIPE: _words(
        """family model_family arch architecture objective loss_function
        data dataset dataset_name corpus data_fingerprint data_mix mixture
        vocab vocab_size tokenizer context context_length seq_len sequence_length
        optimizer optimiser optim opt schedule lr_schedule scheduler lr_scheduler
        parametrisation parametrization parameterization cooldown_shape batch_ramp"""
    ),
    RATE: _words(
        """lr learning_rate learningrate eta batch batch_tokens batch_size batchsize bs gbs
        global_batch global_batch_size tokens_per_batch sequences"""
    ),
    SETTING: _words(
        """weight_decay wd beta1 beta2 beta_1 beta_2 adam_beta1 adam_beta2 momentum eps epsilon adam_eps
        clip grad_clip clip_grad gradient_clipping max_grad_norm dropout z_loss label_smoothing temperature
        warmup warmup_steps warmup_tokens warmup_ratio warmup_fraction cooldown cooldown_steps decay_fraction
        cooldown_floor tau_asked horizon precision dtype init_std init_scale"""
    ),
    SHAPE: _words("h l numh numl ffnh d_ff dff glu aspect_ratio"),
}
_BY_NAME = {name: role for role, names in _EXACT.items() for name in names}

# Words of a name. A name like `loss_c4_val` or `err_piqa` is measured whatever else stands in it.
_MEASURED = _words(
    """loss losses acc accuracy err error errors ppl perplexity bpb bpc nll xent score scores auc f1 bleu
    rouge logprob logprobs grad gnorm mfu throughput memory mem se sem std stderr stdev ci lower upper rmse r2
    residual brier mmlu hellaswag arc piqa boolq winogrande lambada gsm8k humaneval triviaqa"""
)
_CHOICE = _words("function fn type name kind weight coef coeff scale z mode")
_SHAPE = _words(
    "width depth layer layers head heads hidden embd embed embedding dim dims ffn ffw mlp dmodel kv"
)
_CONTAINER = re.compile(r"^(config|configs|args|hparams|hyperparameters|summary|params)[./]+(?=.)")


def role_of(name: str) -> str:
    """Return the role that a column has by its name, or `UNKNOWN`."""
    plain = plain_name(name)
    for candidate in (plain, _leaf(name)):
        if candidate in _BY_NAME:
            return _BY_NAME[candidate]
    words = set(plain.split("_"))
    if plain == "training_loss":  # what was minimised, in our records; else how far it got
        return MEASURED
    if plain.startswith("unnamed") or not plain:
        return BOOKKEEPING
    if words & {"seed", "replicate", "replica"}:
        return REPLICATE
    if words & _MEASURED and not words & _CHOICE:
        return MEASURED
    if plain.endswith(("_lr", "_learning_rate", "_batch_size")):
        return RATE
    if words & _SHAPE or re.fullmatch(r"n_?(layer|head|embd)s?|d_?model", plain):
        return SHAPE
    return UNKNOWN


def plain_name(name: str) -> str:
    """`config/weightDecay` → `weight_decay`: without container, case and punctuation."""
    return _plain(_strip(name))


def _strip(name: str) -> str:
    return _CONTAINER.sub("", name)


def _leaf(name: str) -> str:
    """`optimizer.lr` → `lr`, and `optimizer.name` → `optimizer`; `D/N` stays whole, for it is no path."""
    parts = [part for part in re.split(r"[./]", _strip(name)) if part]
    if len(parts) < 2 or min(map(len, parts)) < 2:
        return _plain(_strip(name))
    return _plain(parts[-2] if _plain(parts[-1]) in _CHOICE | {"id", "value"} else parts[-1])


def _plain(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.casefold()).strip("_")
