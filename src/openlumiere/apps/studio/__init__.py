"""The studio: a page on this machine for every task, whose jobs go through the queue."""
