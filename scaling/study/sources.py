"""Where configs are found: ours, `./conf` of the working directory, `--config-dir`, and single files.

Hydra's rule holds: of two files with one name the first on the search path is used, and ours come first.
Where that would hide a file that was named, `compose` refuses and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

FOUND_RATES = "rates.yaml"  # in the folder of a study that has searched: `rates=NAME`


def config_folder() -> Path:
    """`conf/` of a checkout, or the copy that a wheel carries.

    Raises:
        FileNotFoundError: when neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/config.yaml in {package} or beside it: the installation is incomplete.")


@dataclass(frozen=True)
class Sources:
    """What is searched for configs besides our own `conf/`."""

    name: str = "config"  # of the primary config
    folders: tuple[str, ...] = ()  # absolute
    files: tuple[str, ...] = ()  # each GROUP/NAME=PATH, absolute

    @classmethod
    def here(cls, config_dir: str | None = None, config_name: str | None = None) -> Sources:
        """`--config-dir` and `--config-name`, where given, and `./conf` of the working directory.

        Raises:
            FileNotFoundError: for a config_dir that is no folder.
        """
        if config_dir is not None and not Path(config_dir).is_dir():
            raise FileNotFoundError(f"--config-dir {config_dir}: no such folder; give one that has study/.")
        asked = [Path(config_dir)] if config_dir is not None else []
        found = [folder.resolve() for folder in (*asked, Path("conf")) if folder.is_dir()]
        folders = tuple(dict.fromkeys(str(folder) for folder in found if folder != config_folder()))
        return cls((config_name or "config").removesuffix(".yaml"), folders)

    def with_file(self, group: str, name: str, path: Path) -> Sources:
        """Also `path` as the option `name` of a group, and its neighbours if its folder is such a group."""
        path = path.resolve()
        folders = self.folders
        if path.parent.name == group and path.parents[1] != config_folder():
            folders = tuple(dict.fromkeys((*folders, str(path.parents[1]))))
        return replace(self, folders=folders, files=(*self.files, f"{group}/{name}={path}"))


class OneFile(ConfigSource):
    """A single YAML file as one option of one config group."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self.option, _, file = self.path.partition("=")
        self.group, self.file = self.option.rpartition("/")[0], Path(file)

    @staticmethod
    def scheme() -> str:
        return "onefile"

    def load_config(self, config_path: str) -> ConfigResult:
        if not self.is_config(config_path):
            raise ConfigLoadError(f"{config_path} is not {self.option}, the only config of {self.file}.")
        text = self.file.read_text(encoding="utf-8")
        return ConfigResult(
            config=OmegaConf.load(self.file),  # by path: an error then names the file
            path=f"file://{self.file}",
            provider=self.provider,
            header=self._get_header_dict(text),
        )

    def available(self) -> bool:
        return self.file.is_file()

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", self.group) or self.group.startswith(f"{config_path}/")

    def is_config(self, config_path: str) -> bool:
        return config_path.removesuffix(".yaml") == self.option

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        inside = config_path == self.group and results_filter is not ObjectType.GROUP
        return [self.option.rpartition("/")[2]] if inside else []
