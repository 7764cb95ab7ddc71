"""What a column is by its name alone, where the name means one thing in every table of training runs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from analysis.table.columns import without_section

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


def words_of(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_EXACT: Mapping[str, frozenset[str]] = {
    QUANTITY: words_of(
        """params params_matmul params_total params_active params_encoder params_decoder
        tokens flops flops_6nd loss loss_se bits_per_byte"""
    ),
    INPUT: words_of("tokens_unique unique_tokens epochs x"),
    REPLICATE: words_of(
        """seed rep rep_id rep_idx rep_no replica replicate replication trial fold rng random_state
        run_idx run_no run_number nth_run"""
    ),
    BOOKKEEPING: words_of(
        """run_id trunk_id status state run_state is_final is_last final_checkpoint last_checkpoint
        index idx user author owner url link path paths file
        filename dir directory output_dir commit git_commit git_sha sha versions attempts
        code code_accepted
        device devices num_devices n_devices accelerator threads workers num_workers num_proc pid
        host hostname host_name machine node nodes node_ip nodelist node_list num_nodes n_nodes cluster
        cluster_name
        gpu gpus gpu_type gpu_name gpu_count n_gpus num_gpus world_size compile
        jobid job_id array_task_id partition queue account qos
        alloccpus ncpus alloctres reqmem maxrss submit entity launched_by created_by region zone
        instance_type
        docker_image container platform os driver uuid port retries num_retries restarts num_restarts
        resumed resume_from output_dir out_dir save_dir log_dir logdir rundir run_dir output_path
        checkpoint_dir
        branch_commit git_branch git_hash git_dirty
        data_parallel tensor_parallel pipeline_parallel tensor_parallel_size pipeline_parallel_size
        data_parallel_size tp pp dp tp_size pp_size dp_size zero_stage fsdp ddp
        activation_checkpointing gradient_checkpointing grad_checkpointing prefetch_factor pin_memory
        microbatch micro_batch micro_batch_size micro_bs microbatch_size grad_accum grad_accum_steps
        gradient_accumulation_steps accumulate_grad_batches
        seconds runtime duration elapsed hours minutes wall_time wall_clock walltime time timestamp date
        created created_at updated started started_at start_time finished finished_at ended_at
        end_time
        evaluation_tokens precision_asked origin start decay_tau"""
    )
    # What a spec says of its data is part of `data_fingerprint`, or of the unique tokens.
    | words_of(
        """data_paths data_id_paths data_field data_limit_bytes data_heldout_fraction data_subset data_split
        data_revision data_settings data_row_tokens data_train_tokens"""
    ),
    MEASURED: words_of("transferred chance"),
    REMARK: words_of("note notes comment comments remark remarks memo description details"),
    RECIPE: words_of(
        """family model_family arch architecture objective loss_function
        data dataset dataset_name corpus data_fingerprint data_mix mixture
        vocab vocab_size tokenizer context context_length seq_len sequence_length
        optimizer optimiser optim opt schedule lr_schedule scheduler lr_scheduler
        parametrisation parametrization parameterization cooldown_shape batch_ramp"""
    ),
    RATE: words_of(
        """lr learning_rate learningrate eta batch batch_tokens batch_size batchsize bs bsz gbs gbsz
        global_batch global_batch_size tokens_per_batch sequences"""
    ),
    SETTING: words_of(
        """weight_decay wd beta1 beta2 beta_1 beta_2 adam_beta1 adam_beta2 momentum eps epsilon adam_eps
        clip grad_clip clip_grad gradient_clipping max_grad_norm dropout z_loss label_smoothing temperature
        warmup warmup_steps warmup_tokens warmup_ratio warmup_fraction cooldown cooldown_steps decay_fraction
        cooldown_floor tau_asked horizon precision dtype init_std init_scale"""
    ),
    SHAPE: words_of("h l numh numl ffnh d_ff dff glu aspect_ratio"),
}
_BY_NAME = {name: role for role, names in _EXACT.items() for name in names}

# Words of a name. A name like `loss_c4_val` or `err_piqa` is measured whatever else stands in it.
_MEASURED = words_of(
    """loss losses acc accuracy err error errors ppl perplexity bpb bpc nll xent score scores auc f1 bleu
    rouge logprob logprobs grad gnorm mfu throughput memory mem se sem std stderr stdev ci lower upper rmse r2
    residual brier mmlu hellaswag arc piqa boolq winogrande lambada gsm8k humaneval triviaqa"""
)
# Where, when and by which build a run was made, and how often it wrote something.
_BOOKS = words_of("slurm wandb mlflow neptune cuda cudnn nccl driver hostname timestamp datetime uuid docker")
_BUILD = re.compile(r"(python|torch|pytorch|jax|jaxlib|xla|numpy|transformers|lightning|triton|rocm)_version")
_HOW_OFTEN = re.compile(
    r"(log|logging|save|saving|eval|evaluation|val|validation|checkpoint|ckpt|print)_"
    r"(every|interval|freq|frequency|steps|iters|period)(_\w+)?"
)
_CHOICE = words_of("function fn type name kind weight coef coeff scale z mode")
_SHAPE = words_of(
    "width depth layer layers head heads hidden embd embed embedding dim dims ffn ffw mlp dmodel kv"
)


def role_of(name: str) -> str:
    """Return the role that a column has by its name, or `UNKNOWN`."""
    plain = plain_name(name)
    for candidate in (plain, _leaf(name)):
        if candidate in _BY_NAME:
            return _BY_NAME[candidate]
    words = set(plain.split("_"))
    if plain == "training_loss":  # what was minimised, in our records; else how far it got
        return MEASURED
    if plain.startswith("unnamed") or not plain or _HOW_OFTEN.fullmatch(plain) or _BUILD.fullmatch(plain):
        return BOOKKEEPING
    if words & _BOOKS and not words & {"seed"}:
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
    return _plain(without_section(name))


def _leaf(name: str) -> str:
    """`optimizer.lr` → `lr`, and `optimizer.name` → `optimizer`; `D/N` stays whole, for it is no path."""
    parts = [part for part in re.split(r"[./]", without_section(name)) if part]
    if len(parts) < 2 or min(map(len, parts)) < 2:
        return _plain(without_section(name))
    return _plain(parts[-2] if _plain(parts[-1]) in _CHOICE | {"id", "value"} else parts[-1])


def _plain(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.casefold()).strip("_")
