"""Parity with recorded reference numbers: `python -m tests.parity FILE.npz...`.

One small module per fixture, named as the file: its `outputs(fixture)` builds our network from
`fixture.config`, loads the reference's weights and gives our value of every recorded output.
"""
