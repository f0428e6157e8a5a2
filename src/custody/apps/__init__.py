"""Front ends: the two command lines."""
