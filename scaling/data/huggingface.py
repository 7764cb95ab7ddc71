"""Any data set of the Hugging Face hub, or a local folder that the `datasets` library can read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scaling.data.source import Document, FileStamp, Source
from scaling.data.text import check_field, text_bytes


def huggingface(
    paths: Sequence[str], field: str, subset: str | None, split: str, revision: str | None
) -> Source:
    """Rows of one split, in the order in which `datasets` streams them: nothing is downloaded first.

    A local folder is stamped file by file. The hub is not asked for changes: what was read under a name and
    revision stays what is served, also without network, until the cache is deleted or `revision` changes.
    The fingerprint is that of the text, so two caches that differ show it.

    Raises:
        ValueError: for anything but one name or folder.
        FileNotFoundError: for a folder that is not there.
    """
    if len(paths) != 1:
        raise ValueError(
            "corpus 'huggingface' needs paths with one hub name (owner/name) or local folder; "
            f"got {list(paths)}."
        )
    name = os.path.expanduser(paths[0])
    local = Path(name).is_dir()
    if not local and name.startswith((".", os.sep)):
        raise FileNotFoundError(
            f"corpus 'huggingface': no folder {paths[0]!r}. Current folder: {os.getcwd()}."
        )

    def documents() -> Iterator[Document]:
        for i, row in enumerate(_stream(name, subset, split, revision, local)):
            where = f"{paths[0]}, split {split!r}, row {i}"
            check_field(field, row, where)
            yield Document(f"{split}#{i}", text_bytes(row[field], field, where))

    stamps = _stamps(Path(name)) if local else (FileStamp(name, 0, 0),)
    settings = {"path": os.path.abspath(name) if local else name, "field": field, "subset": subset}
    settings |= {"split": split, "revision": revision}
    facts = {"path": paths[0], "subset": subset, "split": split, "revision": revision, "local": local}
    where = f"{paths[0]!r}, split {split!r}"
    return Source("huggingface", where, stamps, documents, settings, facts)


def _stream(name: str, subset: str | None, split: str, revision: str | None, local: bool) -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "corpus 'huggingface' needs the package datasets: pip install 'scaling-harness[huggingface]'."
        ) from error
    if local and (Path(name) / "state.json").is_file():  # made by Dataset.save_to_disk
        return datasets.load_from_disk(name)
    try:
        return datasets.load_dataset(name, subset, split=split, revision=revision, streaming=True)
    except (ValueError, OSError) as error:
        kind = "local folder" if local else "hub name"
        raise ValueError(
            f"corpus 'huggingface': cannot open {name!r} as a {kind} (subset {subset!r}, split {split!r}, "
            f"revision {revision!r}): {error}"
        ) from error


def _stamps(folder: Path) -> tuple[FileStamp, ...]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    status = {path: path.stat() for path in files}
    return tuple(
        FileStamp(path.relative_to(folder).as_posix(), s.st_size, s.st_mtime_ns) for path, s in status.items()
    )
