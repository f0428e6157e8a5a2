"""What somebody who trusts nothing but a charter's digest can judge from files: transfers, and statements of addresses."""
