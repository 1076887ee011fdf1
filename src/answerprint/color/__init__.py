"""Color science: pure functions of tensors."""
