"""Public data of the literature: where it lies, and how its columns become params, tokens and loss."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from analysis.fitting.runs import Runs
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array

CHINCHILLA = "chinchilla_points/svg_extracted_data.csv"
FARSEER = "farseer/train.csv"
FRONTIER = "frontier/marin_six_points.csv"
LADDER = "olmo_ladder/models_to_1B.csv"
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


def public_tables(folder: Path) -> dict[str, Runs]:
    """Every table of N, D and loss that the folder holds: name → runs; absent ones are left out."""
    found: dict[str, tuple[pd.Series[float], pd.Series[float], pd.Series[float]]] = {}
    for file in sorted((folder / "isoflops").glob("*.csv")):
        table = pd.read_csv(file)
        for name, rows in table[~table["outlier"].astype(bool)].groupby("experiment"):
            found[f"isoflop {name}"] = rows["params"], rows["tokens"], rows["loss"]
    if (folder / FARSEER).is_file():
        table = pd.read_csv(folder / FARSEER)
        found["farseer"] = table["params"], table["tokens"], table["loss"]
    for file in sorted((folder / "porian").glob("*.csv")):
        table = pd.read_csv(file)
        found[f"porian {file.stem.removesuffix('-standard-val')}"] = (
            table["Size"],
            table["Seen"],
            table["Test loss"],
        )
    if (folder / GADRE).is_file():
        for name, rows in pd.read_csv(folder / GADRE).groupby("dataset_name"):
            found[f"gadre {name}"] = rows["N"], rows["D"], rows["loss_c4_val"]
    if (folder / LADDER).is_file():
        table = pd.read_csv(folder / LADDER)
        found["ladder"] = table["params"], table["tokens"], table["c4_loss"]
    runs = {name: Runs.of({"N": N, "D": D}, loss) for name, (N, D, loss) in found.items()}
    if (folder / CHINCHILLA).is_file():
        params, tokens, loss = chinchilla_points(folder)
        runs["chinchilla"] = Runs.of({"N": params, "D": tokens}, loss)
    return runs
