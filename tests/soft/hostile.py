"""A program in the place of a device's process that answers as an attacker would. Its argument says how."""

import json
import os
import sys
import time

GOOD = {"fault": None, "fingerprint": "00000001", "found": [], "reason": "", "result": ""}
FOUND = {"fault": None, "fingerprint": "00000001", "model": "m", "path": "p", "reason": ""}


def spelled(answer):
    return json.dumps(answer, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


ANSWERS = {
    "injects": spelled(GOOD | {"fingerprint": "00000001; rm -rf /"}),
    "injects-when-listed": spelled(
        GOOD | {"fingerprint": "", "found": [FOUND | {"fingerprint": "00000001; rm -rf /"}]}
    ),
    "capitals": spelled(GOOD | {"fingerprint": "ABCDEF01"}),
    "five-bytes": spelled(GOOD | {"fingerprint": "0000000001"}),
    "number": spelled(GOOD | {"fingerprint": 1}),
    "signed-true": b'{"psbt":"cHNidP8=","signed":true}',
    "an-extra-field": spelled(GOOD | {"signed": True}),
    "spaced": json.dumps(GOOD, sort_keys=True).encode(),
    "twice": spelled(GOOD) + spelled(GOOD),
    "no-json": b"\x7fELF",
    "not-utf-8": b'{"fault":"\xff"}',
    "deep": b"[" * 60_000,
    "escape-codes": spelled(GOOD | {"fault": "failed", "reason": "\x1b[2J nothing to see"}),
    "right-to-left": spelled(GOOD | {"fault": "failed", "reason": "\u202e ko"}),
    "a-long-reason": spelled(GOOD | {"fault": "failed", "reason": "x" * 201}),
    "an-unknown-fault": spelled(GOOD | {"fault": "fine"}),
    "no-fingerprint": spelled(GOOD | {"fingerprint": ""}),
    "an-escape-in-a-path": spelled(GOOD | {"fingerprint": "", "found": [FOUND | {"path": "\x1b]0;x\x07"}]}),
    "65-devices": spelled(GOOD | {"fingerprint": "", "found": [FOUND] * 65}),
    "nothing": b"",
    "another": spelled(GOOD | {"fingerprint": "deadbeef"}),
}


def main(how):
    out = sys.stdout.buffer
    if how == "deaf":
        time.sleep(1000)
    sys.stdin.buffer.read()
    match how:
        case "floods":
            out.write(b'{"fault":null,"reason":"')
            for _ in range(100):
                out.write(b"x" * 1_000_000)
            out.write(b'"}')
        case "hangs":
            time.sleep(1000)
        case "drips":
            while True:
                out.write(b"x")
                out.flush()
                time.sleep(0.05)
        case "answers-then-hangs":
            out.write(ANSWERS["another"])
            out.flush()
            os.close(1)
            time.sleep(1000)
        case "dies":
            os.abort()
        case _:
            out.write(ANSWERS[how])


if __name__ == "__main__":
    main(sys.argv[1])
