"""Public data of the literature: where it lies, and how its columns become params, tokens and loss."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array

CHINCHILLA = "chinchilla_points/svg_extracted_data.csv"
GADRE = "gadre_overtraining/gadre_104_models.csv"
DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"  # beside a checkout


def public_data() -> Path | None:
    """The folder that SCALING_PUBLIC_DATA names; None where it is unset."""
    named = os.environ.get("SCALING_PUBLIC_DATA")
    return Path(named) if named else None


def chinchilla_points(folder: Path, dropped: int = 5) -> tuple[Array, Array, Array]:
    """params, tokens and loss of the Chinchilla runs; as published, 240, without the 5 of largest loss.

    Source: Besiroglu et al. 2024 (arXiv:2404.10102), read off figure 4 of Hoffmann et al. 2022.
    """
    table = pd.read_csv(folder / CHINCHILLA).sort_values("loss")
    table = table.head(len(table) - dropped)
    params = table["Model Size"].to_numpy(float)
    tokens = table["Training FLOP"].to_numpy(float) / (FLOPS_PER_PARAM_TOKEN * params)
    return params, tokens, table["loss"].to_numpy(float)


def gadre_models(folder: Path) -> pd.DataFrame:
    """The models trained on RedPajama, as released by Gadre et al. 2024 (arXiv:2403.08540)."""
    table = pd.read_csv(folder / GADRE)
    return table[table["dataset_name"] == "rpj"]
