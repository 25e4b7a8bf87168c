"""Cost data: what was billed. ``focus`` reads FOCUS 1.2 files, ``confirm`` holds the savings ledger against them."""
