"""Where images come from, how they are divided, and the tensor files that training reads."""
