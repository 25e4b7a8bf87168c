"""Channels: one file a channel; ``registry`` names them."""
