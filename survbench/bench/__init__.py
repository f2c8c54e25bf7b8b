"""Settings, cells and runs: what is fitted once, kept whole on disk, and predicted from again."""
