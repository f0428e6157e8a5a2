"""What integrators test with: a regtest chain, software cosigners and the demo. Refuses any network but regtest."""
