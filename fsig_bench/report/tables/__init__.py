"""Tables for papers: printed numbers, our re-runs and our own protocol side by side.

A table is data (`conf/table/NAME.yaml`); what is built from it and the records is immutable.
"""

from fsig_bench.report.tables.build import build_table
from fsig_bench.report.tables.markdown import render_markdown
from fsig_bench.report.tables.spec import load_spec, table_names
from fsig_bench.report.tables.write import write_tables

__all__ = ["build_table", "load_spec", "render_markdown", "table_names", "write_tables"]
