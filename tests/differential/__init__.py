"""The engine beside other engines: given the same orders or signals, the same fills, trades and money."""
