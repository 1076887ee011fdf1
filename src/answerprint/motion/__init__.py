"""Where things move: flow, warps, alignment, layers."""
