"""What an answer of the model may be worth while it trains: one number each, pure and bounded."""
