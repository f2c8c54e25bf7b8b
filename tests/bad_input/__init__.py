"""Wrong and hostile input, one table for each kind; see `test_bad_input`."""
