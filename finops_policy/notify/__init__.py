"""Telling people of findings: ``service`` from a sealed run to a report, ``senders`` one channel a file."""
