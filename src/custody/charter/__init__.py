"""Who may do what: the signed charter and the decisions it gives. No transaction in sight."""
