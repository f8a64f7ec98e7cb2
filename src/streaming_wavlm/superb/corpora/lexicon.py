"""The spoken words of the embedded English prompts that are single words, and how they sound (ARPAbet)."""

from __future__ import annotations

_NUMBERS = """
0 ZERO Z IH R OW
1 ONE W AH N
2 TWO T UW
3 THREE TH R IY
4 FOUR F AO R
5 FIVE F AY V
6 SIX S IH K S
7 SEVEN S EH V AH N
8 EIGHT EY T
9 NINE N AY N
10 TEN T EH N
11 ELEVEN IH L EH V AH N
12 TWELVE T W EH L V
13 THIRTEEN TH ER T IY N
14 FOURTEEN F AO R T IY N
15 FIFTEEN F IH F T IY N
16 SIXTEEN S IH K S T IY N
17 SEVENTEEN S EH V AH N T IY N
18 EIGHTEEN EY T IY N
19 NINETEEN N AY N T IY N
20 TWENTY T W EH N T IY
30 THIRTY TH ER D IY
40 FORTY F AO R T IY
50 FIFTY F IH F T IY
60 SIXTY S IH K S T IY
70 SEVENTY S EH V AH N T IY
80 EIGHTY EY T IY
90 NINETY N AY N T IY
"""
_DAYS = """
0 SUNDAY S AH N D EY
1 MONDAY M AH N D EY
2 TUESDAY T UW Z D EY
3 WEDNESDAY W EH N Z D EY
4 THURSDAY TH ER Z D EY
5 FRIDAY F R AY D EY
6 SATURDAY S AE T ER D EY
"""
_MONTHS = """
0 JANUARY JH AE N Y UW EH R IY
1 FEBRUARY F EH B Y AH W EH R IY
2 MARCH M AA R CH
3 APRIL EY P R AH L
4 MAY M EY
5 JUNE JH UW N
6 JULY JH AH L AY
7 AUGUST AO G AH S T
8 SEPTEMBER S EH P T EH M B ER
9 OCTOBER AA K T OW B ER
10 NOVEMBER N OW V EH M B ER
11 DECEMBER D IH S EH M B ER
"""
_LETTERS = """
a A EY
b B B IY
c C S IY
d D D IY
e E IY
f F EH F
g G JH IY
h H EY CH
i I AY
j J JH EY
k K K EY
l L EH L
m M EH M
n N EH N
o O OW
p P P IY
q Q K Y UW
r R AA R
s S EH S
t T T IY
u U Y UW
v V V IY
w W D AH B AH L Y UW
x X EH K S
y Y W AY
z Z Z IY
"""


def spoken_words() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the word and its phones for each prompt, such as ``digits-7``, of which the words are known."""
    tables = {"digits": _NUMBERS, "digits-day": _DAYS, "digits-mon": _MONTHS, "letters": _LETTERS}
    result = {}
    for prefix, table in tables.items():
        for line in table.strip().splitlines():
            number, word, *phones = line.split()
            result[f"{prefix}-{number}"] = (word, tuple(phones))
    return result
