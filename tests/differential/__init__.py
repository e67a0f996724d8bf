"""The engine beside other engines, and statistics beside other libraries: given the same, the same fills, trades, money and figures."""
