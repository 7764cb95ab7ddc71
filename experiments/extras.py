"""Which extra of the package installs what a command may need beyond the base installation."""

from __future__ import annotations

EXTRAS = {  # package as it is imported → extra
    "torch": "train",
    "hydra": "train",
    "omegaconf": "train",
    "wandb": "train",
    "tokenizers": "train",
    "zstandard": "train",
    "pyarrow": "parquet",
    "datasets": "huggingface",
    "safetensors": "export",
    "transformers": "export",
    "accelerate": "hf-trainer",
    "lightning": "lightning",
    "sacrebleu": "tasks",
    "torchmetrics": "tasks",
    "uvicorn": "serve",
    "starlette": "serve",
    "lm_eval": "eval",
    "submitit": "slurm",
    "ray": "ray",
    "optuna": "search",
    "schedulefree": "schedulefree",
    "hydra_plugins": "joblib",
    "tensorboard": "tensorboard",
}


def explain_missing(error: ModuleNotFoundError) -> str:
    """What a command needs, and what installs it, in half a sentence.

    A message that names its command already, and a package that is none of ours, stay as they are.
    """
    package = str(error.name or "").partition(".")[0]
    if "pip install" in str(error) or package not in EXTRAS:
        return str(error)
    return f"needs the package {package}: pip install 'scaling-harness[{EXTRAS[package]}]'."
