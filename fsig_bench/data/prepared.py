"""A published target set, once `fsig-bench prepare` has put it in place."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fsig_bench.api.digests import sha256_once
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.data.folder import ImageFolder
from fsig_bench.data.importing import differing


@dataclass(frozen=True, kw_only=True)
class PreparedFolder(ImageFolder):
    """An `ImageFolder` that knows where its images come from; see conf/in_suite/dataset/.

    Its files are those of the manifest, and the reference is without other editions of the shots.
    """

    # shots and reference (url or gdrive id), alternatives, page, licence, images
    origin: Json

    @cached_property
    def _manifest(self) -> JsonDict:
        manifest = Path(self.path).expanduser().parent / "manifest.json"
        for place in (self.path, self.reference, manifest):
            if place is not None and not Path(place).expanduser().exists():
                raise ValueError(
                    f"{place} is not there yet: fsig-bench prepare dataset={self.name} "
                    f"(licence: {self.origin['licence']}; from {self.origin['page']})"
                )
        found: JsonDict = json.loads(manifest.read_text())
        return found

    def check(self, k: int, subset: int) -> None:
        """As `ImageFolder.check`; says how to prepare what is not there or no longer as it was."""
        folder = Path(self.path).expanduser().parent
        if changed := differing(folder, self._manifest, sha256_once):
            raise ValueError(
                f"{folder} is not what was prepared: {'; '.join(changed[:5])}"
                f"{f' and {len(changed) - 5} more' if len(changed) > 5 else ''}. "
                f"Delete it and prepare it again: fsig-bench prepare dataset={self.name}"
            )
        super().check(k, subset)

    def read_all(self) -> None:
        """Nothing: every file has been decoded once, and its bytes are still those."""

    def reference_fingerprint(self) -> str | None:
        """Also of what is left out as another edition of a shot."""
        own, twins = super().reference_fingerprint(), self._manifest["near_duplicates"]
        if own is None or not twins:
            return own
        return hashlib.sha256(f"{own}/{json.dumps(twins, sort_keys=True)}".encode()).hexdigest()

    def _apart_from_shots(self, k: int, subset: int) -> npt.NDArray[np.bool_]:
        by_shot = self._manifest["near_duplicates"]
        twins = {t for shot in self.shot_names(k, subset) for t in by_shot.get(shot, ())}
        apart = np.array([p.name not in twins for p in self._reference_files or []])
        return super()._apart_from_shots(k, subset) & apart
