"""What the bytes say: strict, canonical, bounded and fast; no institution's rules.

`transaction`, `block` and `psbt` read and write bytes, `profile` says which fields a vault transfer may carry, `script`
knows scripts and addresses, `sighash` what is signed, `curve` is the door to secp256k1.
"""
