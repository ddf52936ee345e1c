"""What ``laminet train`` is made of: what a table has to teach, and how well it was learnt."""
