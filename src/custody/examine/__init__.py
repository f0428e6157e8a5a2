"""What can somebody who trusts nothing but a charter's digest judge from files? Transfers, and addresses."""
