"""Hardware devices through hwilib, behind the `Signer` port.

    signer.read_cosigner    a device's account key with its origin, for a new vault
    signer.vault_signer     the device that holds a key of this vault, ready to sign
    signer.HwiSigner        one device: account key, address on its screen, enrolment, signatures
    signer.find_devices     what is plugged in
    unlock                  a PIN whose positions are typed on this machine
    program                 how a device's process is started, and what it may cost

Nothing a device or its driver says is taken on trust. Every touch happens in a process of its own that is ended when
its time or its answer grows too long (`program`, `child`); hwilib is imported in one module, `driver`, which runs only
there. What a PSBT must look like for each kind of device stands in `kinds`; what comes out of foreign drivers is given
our names in `foreign`. Of an answer, only signatures that verify are kept, and they are put into our own PSBT.

How custodians use it, and what each device can do: docs/how-to/devices.md.
"""
