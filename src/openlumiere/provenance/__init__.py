"""Where a clip comes from: the mark in its pixels and the signed manifest."""
