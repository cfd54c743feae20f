"""How secrets of ours begin: what a log or a trace must not show."""

SECRET_MARKS = ("tt_inv_2_", "tt_edge_2_", "tt_key_1_")
