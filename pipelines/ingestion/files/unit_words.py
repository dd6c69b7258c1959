"""Words for units and types, as second header lines hold them."""

from __future__ import annotations

import re

_PREFIXED = "m g s A K V W J N Hz Pa Wh l L mol bar B b cal eV t F H T Ω ohm rad sr lx lm cd Bq Gy Sv bp"
_PREFIXES = "da|[yzafpnuµμmcdhkMGTPEZY]"
_ALONE = """
% ‰ ° °C °F °K degC degF deg degree degrees C F min mins minute minutes h hr hrs hour hours d day days week weeks month
months yr yrs year years sec secs second seconds ms in inch inches ft feet yd mi mile miles lb lbs oz gal psi mmHg inHg
hPa mbar mb atm ppm ppb ppt pct percent dB dBA rpm mph kmh kph kn kt knots ha acre ac sqm sqft sqkm px pixel pixels pcs
pieces count counts no. nr. # Stück Stk Anzahl Tage Stunden Jahre kg mg km cm mm ml dl GHz MHz € $ £ ¥ EUR USD GBP JPY
CHF CNY INR CAD AUD SEK NOK DKK PLN CZK BRL MXN ZAR KRW TEUR k€ k$ M€ M$ Mio mio m² m³ km² cm² mm² cm³ dm³ IU U kcal kJ
kWh MWh GWh kVA kvar Nm
"""
_TYPES = """
int integer int32 int64 bigint smallint long float float32 float64 double decimal numeric number num real text str
string varchar char object category categorical factor nominal ordinal continuous discrete bool boolean date datetime
datetime64 timestamp time date/time id key
"""
_WORDS = "|".join(sorted(map(re.escape, _ALONE.split()), key=len, reverse=True))
_UNIT = rf"(?:(?i:{_WORDS})|(?:{_PREFIXES})?(?:{'|'.join(_PREFIXED.split())}))"
_POWER = r"(?:\^?[-+−]?\d{1,2}|[²³⁻¹]+)?"
_COMPOUND = re.compile(rf"(?:1|10\^?\d+|{_UNIT}{_POWER})(?:(?: ?[/·*.⋅×] ?| per | ){_UNIT}{_POWER})*")
_BRACKETED = re.compile(r"\[[^\]]{0,30}\]|\([^)]{0,30}\)|<[^>]{0,30}>")


def is_unit(text: str) -> bool:
    """Tell whether a cell names a unit or a type, or is a dash instead of one.

    >>> [is_unit(text) for text in ("km/h", "µg/m³", "[any]", "W m-2", "float64", "-", "Bern", "12")]
    [True, True, True, True, True, True, False, False]
    """
    return (
        text == "-"
        or text.casefold() in _TYPES.split()
        or _BRACKETED.fullmatch(text) is not None
        or (len(text) <= 20 and _COMPOUND.fullmatch(text) is not None)
    )
