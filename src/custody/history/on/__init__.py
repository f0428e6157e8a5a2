"""What does each kind of entry do to the state? One file a part of the route; `kinds` lists them all."""
