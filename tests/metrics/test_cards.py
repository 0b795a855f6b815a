"""How metrics are shown: from a record's own cards, from conf/metric, or by name."""

import pytest
from helpers import ROOT, make_cell
from report_records import record

from fsig_bench.metrics.cards import (
    MetricCard,
    added_metrics,
    check_card,
    committed_cards,
    metric_card,
    metric_names,
    protocol_order,
)
from fsig_bench.report.variants import protocol_differences


def with_card(**card):
    one = record(metrics={"mine": {"value": 0.25}})
    one["config"] = {**one["config"], "protocol": {"metrics": {"mine": {"card": card}}}}
    return one


def test_every_metric_here_has_a_card_that_can_be_shown():
    for path in (ROOT / "conf" / "metric").glob("*.yaml"):
        check_card(path.stem, committed_cards()[path.stem])
    assert metric_card("kid").text(0.00123) == "1.23" and metric_card("kid").arrow == "↓"
    assert metric_card("intra_lpips_unidad") == metric_card("intra_lpips")  # through its defaults
    assert set(protocol_order()) < set(committed_cards())


def test_a_records_card_wins_and_one_without_is_shown_by_name():
    shown = metric_card("mine", [record(), with_card(heading="Mine", decimals=1, better="higher")])
    assert (shown.title, shown.text(0.25)) == ("Mine ↑", "0.2")
    assert metric_card("fd", [record()]) == metric_card("fd")
    assert metric_card("mine", [record()]) == MetricCard(heading="mine")
    assert metric_card("mine").text(0.25) == "0.2500" and metric_card("mine").title == "mine"


def test_keys_of_a_later_version_do_not_stop_a_reader():
    assert metric_card("mine", [with_card(heading="Mine", colour="red")]).heading == "Mine"


def test_columns_keep_the_protocols_order_and_others_follow():
    metrics = {name: {"value": 1.0} for name in ("zeta", "source_leakage", "alpha", "kid", "fd")}
    group = [record(metrics=metrics)]
    assert metric_names(group) == ["fd", "kid", "source_leakage", "alpha", "zeta"]
    assert added_metrics(group) == ["alpha", "zeta"]


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"decimals": 2}, "with a heading"),
        ("Mine", "'Mine'; give a mapping"),
        ({"heading": "Mine", "digits": 2}, "the key digits; known are heading"),
        ({"heading": "Mine", "better": "up"}, "better='up'; choose one of lower, higher"),
        ({"heading": "Mine", "is_p_value": "yes"}, "is_p_value='yes'; give true or false"),
        ({"heading": "Mine", "main": 1}, "main=1; give true or false"),
        ({"heading": "Mine", "decimals": -1}, "decimals=-1; give a whole number"),
        ({"heading": "Mine", "decimals": 1.5}, "decimals=1.5; give a whole number"),
        ({"heading": "Mine", "factor": "x"}, "factor='x'; give a number"),
    ],
)
def test_a_card_that_cannot_be_shown_is_refused_before_the_run(card, words):
    with pytest.raises(ValueError, match=words):
        check_card("mine", card)


def test_a_card_enters_no_key_and_no_comparison_of_protocols():
    plain = make_cell("method=copy", "dataset=babies")
    other = make_cell("method=copy", "dataset=babies", "protocol.metrics.fd.card.heading=FD")
    assert other.run_id == plain.run_id and other.protocol_hash == plain.protocol_hash
    assert protocol_differences(with_card(heading="Mine"), with_card(heading="Yours")) == []
    with pytest.raises(ValueError, match="better='up'"):
        make_cell("method=copy", "dataset=babies", "protocol.metrics.fd.card.better=up")
