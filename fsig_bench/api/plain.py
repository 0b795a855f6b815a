"""Names for values that JSON or YAML decides the shape of, for signatures; imports nothing of ours.

json.loads and a composed config give null, booleans, numbers, texts, lists and mappings, nested as
the file has them. A recursive type would make every reader prove the kind of each level again, so
these names hold `Any`; what must be there is checked once, where a file is read
(`fsig_bench.store.schema`, `fsig_bench.runner.checks`).
"""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]  # to be read
JsonDict = dict[str, Any]  # made, or to be changed, by whoever holds it
Record = JsonDict  # a record.json; its fields are those of `fsig_bench.store.schema`
