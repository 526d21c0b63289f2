"""The checks of `slipstream doctor`. Each yields findings; none raises or changes anything."""
