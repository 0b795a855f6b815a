"""docs/findings.md: which metrics to believe, from committed records only.

planted      audits: what each metric sees, and the smallest set that sees every fault
kendall      Kendall's tau by target, with a permutation test
grid         methods that all have runs on the same targets
parts        what the factor distance consists of
agreement    metrics beside what is known of the images, over a grid
selection    what choosing the checkpoint by the reference gains
papers       mini's ranking beside each published table's
page         the text, with its numbers filled in
"""
