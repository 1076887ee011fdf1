"""Classical image processing: pure functions of tensors."""
