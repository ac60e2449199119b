"""What a stage is, as data: what trains, how fast, on what."""
