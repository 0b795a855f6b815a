"""What can be concluded from records: the one place for intervals, tests, ranks and components.

Three axes of chance move a number: which shots (`subset`), adapting (`seed`) and drawing (`draw`).

    units        runs -> values that are independent of each other, and which axes they hold
    intervals    Student's interval and test of a mean, Holm's correction
    components   mean squares of a crossed design -> variance of each axis, with intervals
    crossing     the crossed part of a set of records
    reranking    does a ranking hold on new shots?
    resampling   does an order hold on new shots, and how many sets of shots does a claim need
    scores       records -> what is averaged and ranked; distance to `real` where that is best
    paired       two methods, run by run
    ranks        mean ranks with Friedman's and Nemenyi's tests
    sentences    what a ± holds, for captions

Within a target the set of shots is the unit; over many targets the target is.
"""
