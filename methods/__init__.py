"""The benchmarked methods: one file each, imported as `survbench.methods.<name>`."""

if __name__ != "survbench.methods":
    msg = (
        f"this folder was imported as {__name__!r}; its one name is 'survbench.methods': "
        "import that instead (two names would make two copies of every class)"
    )
    raise ImportError(msg)
