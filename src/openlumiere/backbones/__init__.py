"""Published nets as denoisers: one file a family."""
