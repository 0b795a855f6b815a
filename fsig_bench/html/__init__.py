"""The records as a folder of pages that opens from disk: `fsig_bench.html.build.write_report`."""
