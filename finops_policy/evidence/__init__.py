"""The immutable, signed, chained record of a run.

==============  =====================================================================
``store``       finding bundles, and making new ones
``bundle``      writing one run's bundle, and sealing it
``tables``      the two tables of a bundle: their columns and rows
``parquet``     those tables as files: written by workers, read by everyone
``chain``       what a signature says of a run, and the head of a customer's chain
``signing``     the keys, and the envelope around a statement
``verify``      whether a bundle and its chain are still what was sealed
``problems``    what can be wrong with them, in words
``layout``      where things lie in a store, and what they are called
``canonical``   JSON that any value can be written to, always as the same bytes
==============  =====================================================================

Nothing is imported here, so that listing commands does not load the cryptography.

What a signature cannot prove: somebody who can write to the whole store and kept an older copy of it can put all of it
back, runs and head alike, and it verifies as it did then. Note the digest of the newest run where they cannot reach it.
"""
