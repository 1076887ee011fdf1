"""What a coder did to the picture: quantizer, banding, blocks."""
