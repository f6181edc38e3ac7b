"""Lists in one text: names and numbers between commas."""

from __future__ import annotations

import pytest

from d24fad_lite.listings import names_of, numbers_of


def test_names_are_split_at_commas_outside_of_quotes_and_known_names_are_not_split() -> None:
    assert names_of(["RSNA, LAG", "HIS", ""]) == ["RSNA", "LAG", "HIS"] and names_of(None) == []
    assert names_of(['"T1, T2",HIS']) == ["T1, T2", "HIS"]
    assert names_of(["T1, T2", "T1,HIS"], ["T1, T2"]) == ["T1, T2", "T1", "HIS"]


def test_numbers_are_read_in_their_order() -> None:
    assert numbers_of("8, 2,4", "--shots") == [8, 2, 4] and numbers_of("0", "--seeds", least=0) == [0]


@pytest.mark.parametrize("text", ["", "two", "2,,4", "2,2", "0", "-1", "2.5"])
def test_other_texts_are_refused_with_the_name_of_the_option_and_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="--shots '.*' must be different whole numbers of at least 1 .* 2,4,8"):
        numbers_of(text, "--shots")
