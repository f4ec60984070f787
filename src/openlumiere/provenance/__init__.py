"""Where a clip comes from: the mark in its pixels, the mark in its noise, the signed manifest."""
