"""Decoding: the next action of a batch of episodes, under the grammar."""
