"""The records as a folder of pages that opens from disk: see `build.write_report`."""
