"""`fsig-bench report table=NAME fill=true`: fetches, prepares and runs what a table lacks.

plan.py    which cells a table lacks, and the words that run each
costs.py   hours of a cell, from counted operations or from records
work.py    prints the plan, asks once, does it, prints the table
"""
