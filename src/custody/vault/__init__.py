"""What we hold: keys with their origins, the vault they make, its addresses and its coins."""
