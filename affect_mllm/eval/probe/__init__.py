"""What frozen encoder states say of a label before any model is trained on them."""
