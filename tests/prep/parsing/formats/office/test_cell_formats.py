"""Number format codes: what a spreadsheet shows for a value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.parsing.formats.office.cell_formats import BUILT_IN_FORMATS, format_number

ACCOUNTING = '_(* #,##0.00_);_(* \\(#,##0.00\\);_(* "-"??_);_(@_)'


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        (3.0, "General", "3"),
        (0.1 + 0.2, "General", "0.3"),
        (1e20, "General", "1E+20"),
        (-12.5, "General", "-12.5"),
        (1234567.891, "#,##0.00", "1,234,567.89"),
        (0.5, "0", "1"),
        (2.5, "0", "3"),
        (-0.4, "0", "0"),
        (-5, "0.0", "-5.0"),
        (7, "000", "007"),
        (0.256, "0%", "26%"),
        (0.0525, "0.0#%", "5.25%"),
        (0.05, "0.0#%", "5.0%"),
        (1234.5, "[$€-407] #,##0.00", "€ 1,234.50"),
        (1234.5, '#,##0.00 "kg"', "1,234.50 kg"),
        (1234.5, "\\$#,##0", "$1,235"),
        (1234.5, "$#,##0", "$1,235"),
        (12_345_678, "0.0,,\\M", "12.3M"),
        (12_345_678, "#,##0,", "12,346"),
        (1234.5, ACCOUNTING, "1,234.50"),
        (-1234.5, ACCOUNTING, "(1,234.50)"),
        (0, ACCOUNTING, "-"),
        (-3, "0;[Red]0", "3"),
        (-3, '0;"loss of "0', "loss of 3"),
        (0, '0;-0;"none"', "none"),
        (150, '[>100]"high";[<=100]0', "high"),
        (50, '[>100]"high";[<=100]0', "50"),
        (12345, "0.00E+00", "1.23E+04"),
        (0.00012, "0.0E+0", "1.2E-4"),
        (9.999, "0.0E+0", "1.0E+1"),
        (1.25, "# ?/?", "1 1/4"),
        (0.5, "# ?/?", "1/2"),
        (2, "# ?/?", "2"),
        (0.3125, "# ??/16", "5/16"),
        (5551234, "000\\-0000", "555-1234"),
        (493012345678, "\\+00 000 0000000", "+49 301 2345678"),
        (0, "#", ""),
        (0.5, "#.##", ".5"),
        (47911, "yyyy-mm-dd", "2031-03-04"),
        (47911, "dd.mm.yyyy", "04.03.2031"),
        (47911, "m/d/yy", "3/4/31"),
        (47911, 'dddd, d" of "mmmm yyyy', "Tuesday, 4 of March 2031"),
        (47911, "[$-409]mmm\\-yy;@", "Mar-31"),
        (47911, "[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy", "2031-03-04"),
        (47911.75, "d.m.yyyy h:mm", "4.3.2031 18:00"),
        (47911.75, "h:mm AM/PM", "6:00 PM"),
        (0.5, "hh:mm:ss", "12:00:00"),
        (1.25, "[h]:mm", "30:00"),
        (1 / 86400 * 75.25, "mm:ss.00", "01:15.25"),
        (1, "d mmm yyyy", "1 Jan 1900"),
        (61, "d mmm yyyy", "1 Mar 1900"),
        (-1, "yyyy", "-1"),
        (1e12, "yyyy", "1000000000000"),
        (1e301, "0.00", "1E+301"),
    ],
)  # fmt: skip
def test_a_value_is_shown_by_its_format(value: float, code: str, shown: str) -> None:
    assert format_number(value, code) == shown


def test_dates_may_count_from_1904() -> None:
    assert format_number(46449, "yyyy-mm-dd", is_1904=True) == "2031-03-04"


@settings(deadline=None, max_examples=400)
@given(
    st.floats(),
    st.one_of(
        st.sampled_from(list(BUILT_IN_FORMATS.values())),
        st.lists(
            st.sampled_from([*'0#?.,%/;E+-@ymdhs"\\_*[]$ x', "[h]", "[>1]", "General", "AM/PM"]),
            max_size=14,
        ).map("".join),
    ),
)
def test_no_code_is_an_error(value: float, code: str) -> None:
    assert isinstance(format_number(value, code), str)
