"""A published target set, once `python -m fsig_bench.prepare` has put it in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsig_bench.data.folder import ImageFolder


@dataclass(frozen=True, kw_only=True)
class PreparedFolder(ImageFolder):
    """An `ImageFolder` that knows where its images come from; values stand in conf/domain/."""

    origin: Mapping[str, Any]  # shots and reference (url or gdrive id), page, licence, images

    def check(self, k: int, subset: int) -> None:
        """As `ImageFolder.check`; says how to prepare what is not there."""
        for folder in (self.path, self.reference):
            if folder is not None and not Path(folder).expanduser().is_dir():
                raise ValueError(
                    f"{folder} is not there yet: python -m fsig_bench.prepare dataset={self.name} "
                    f"(licence: {self.origin['licence']}; from {self.origin['page']})"
                )
        super().check(k, subset)
