"""Soft edges: alpha in a band around a contour, and foreground colors freed from the background they were mixed with.

The band is filtered by the guided filter with the picture's three colors as guide (He, Sun and Tang 2010, section 3.3)
or solved in closed form (Levin, Lischinski and Weiss 2008). Foreground colors by blur fusion (Forte 2021).
Pictures are (H, W, 3) float32, contours (H, W) signed distances in pixels, above 0 inside.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import cg

from answerprint.motion.layers import bounding_box

Array = npt.NDArray[np.float32]


def hard(phi: Array) -> Array:
    """Alpha (H, W) in 0..1 of a contour (H, W) by itself: a ramp of one pixel."""
    return (phi + 0.5).clip(0, 1).astype(np.float32)


def guided(picture: Array, phi: Array, band: float, epsilon: float = 1e-4) -> Array:
    """Alpha (H, W) by the color guided filter, in a band; 0 and 1 outside it.

    Args:
        picture: (H, W, 3).
        phi: (H, W) signed distance of the contour.
        band: half-width of the band in pixels.
        epsilon: variance of the picture under which a window counts as flat.
    """
    alpha = hard(phi)
    box = bounding_box(np.abs(phi) < band, 2 * int(band) + 2)
    if box is None or band < 1:
        return alpha
    part, near = picture[box], phi[box]
    soft = _guided(part, hard(near), max(1, round(band)), epsilon)
    # Windows of the filter are as wide as the band: what it says in the middle is worn out towards the rim.
    soft = _stretch(soft)
    share = (2 * (1 - np.abs(near) / band)).clip(0, 1)
    alpha[box] = (share * soft + (1 - share) * hard(near)).astype(np.float32)
    return alpha


def _stretch(alpha: Array) -> Array:
    """A tenth off either end, so that the inside is whole and the outside is gone."""
    return ((alpha - 0.1) / 0.8).clip(0, 1).astype(np.float32)


def _guided(picture: Array, alpha: Array, radius: int, epsilon: float) -> Array:
    """The guided filter of alpha (H, W) with a picture (H, W, 3) as guide."""
    side = (2 * radius + 1, 2 * radius + 1)
    picture = picture - picture.mean((0, 1), dtype=np.float32)

    def box(plane: Array) -> Array:
        result: Array = cv2.blur(plane, side, borderType=cv2.BORDER_REFLECT_101)
        return result

    mean, level = box(picture), box(alpha)
    cross = box(picture * alpha[..., None]) - mean * level[..., None]
    rr, rg, rb, gg, gb, bb = (
        box(picture[..., i] * picture[..., j]) - mean[..., i] * mean[..., j]
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    rr, gg, bb = rr + epsilon, gg + epsilon, bb + epsilon
    # The inverse of a symmetric 3 x 3 matrix by its cofactors, for all pixels at once.
    irr, irg, irb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    igg, igb, ibb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    scale = np.maximum(rr * irr + rg * irg + rb * irb, epsilon**3)
    r, g, b = cross[..., 0], cross[..., 1], cross[..., 2]
    slope = (
        np.stack([irr * r + irg * g + irb * b, irg * r + igg * g + igb * b, irb * r + igb * g + ibb * b], -1)
        / scale[..., None]
    )
    offset = level - (slope * mean).sum(-1)
    result: Array = (box(slope.astype(np.float32)) * picture).sum(-1) + box(offset.astype(np.float32))
    return result


def closed_form(picture: Array, phi: Array, band: float, epsilon: float = 1e-5, rounds: int = 120) -> Array:
    """Alpha (H, W) by the matting Laplacian, in a band; 0 and 1 outside it. Slow: for stills and hair.

    Args:
        picture: (H, W, 3).
        phi: (H, W) signed distance of the contour.
        band: half-width of the band in pixels, where alpha is unknown.
        epsilon: regularization of the local color lines.
        rounds: of conjugate gradients at most.
    """
    alpha = hard(phi)
    box = bounding_box(np.abs(phi) < band, 2)
    if box is None or min(phi[box].shape) < 3:
        return alpha
    part, near = picture[box].astype(np.float64), phi[box]
    laplacian = _laplacian(part, epsilon)
    known = (np.abs(near) >= band).ravel().astype(np.float64)
    system = laplacian + sparse.diags(100 * known + 1e-6)
    start = hard(near).astype(np.float64).ravel()
    alpha_values, _ = cg(system, 100 * known * start + 1e-6 * start, x0=start, rtol=1e-4, maxiter=rounds)
    outside = np.abs(near) >= band
    alpha[box] = np.where(outside, hard(near), alpha_values.reshape(near.shape).clip(0, 1)).astype(np.float32)
    return alpha


def _laplacian(picture: npt.NDArray[np.float64], epsilon: float) -> Any:
    """The matting Laplacian over 3 x 3 windows (Levin et al., equation 12)."""
    height, width = picture.shape[:2]
    index = np.arange(height * width).reshape(height, width)
    windows = np.lib.stride_tricks.sliding_window_view(index, (3, 3)).reshape(-1, 9)
    colors = picture.reshape(-1, 3)[windows]
    away = colors - colors.mean(1, keepdims=True)
    spread = np.einsum("nki,nkj->nij", away, away) / 9 + epsilon / 9 * np.eye(3)
    weights = (1 + np.einsum("nki,nij,nlj->nkl", away, np.linalg.inv(spread), away)) / 9
    values = np.eye(9)[None] - weights
    rows, columns = np.repeat(windows, 9, 1).ravel(), np.tile(windows, 9).ravel()
    return sparse.csr_matrix((values.ravel(), (rows, columns)), shape=(index.size, index.size))


def foreground(picture: Array, alpha: Array, radius: int = 24) -> Array:
    """The target's own colors (H, W, 3) where it is mixed with the background; the picture itself where alpha is 1.

    Blur fusion (Forte 2021, equations 4 to 7), twice, the second time over a small window. Where alpha is 0 the nearby
    foreground color stands, so an edge that is blurred later shows no rim.

    Args:
        picture: (H, W, 3).
        alpha: (H, W) in 0..1.
        radius: of the window that colors are taken from, in pixels.
    """
    box = bounding_box((alpha > 0) & (alpha < 1), 2 * radius)
    if box is None:
        return picture
    part, share = picture[box], alpha[box][..., None]
    own, behind = part, part
    for size in (radius, max(2, radius // 5)):
        own, behind = _fuse(part, share, own, behind, size)
    result = picture.copy()
    result[box] = np.where(share >= 1, part, own)
    return result


def _fuse(picture: Array, alpha: Array, own: Array, behind: Array, radius: int) -> tuple[Array, Array]:
    """Colors (H, W, 3) of foreground and background after one round of blur fusion."""
    side = (2 * radius + 1, 2 * radius + 1)
    weight = cv2.blur(alpha, side)[..., None]
    near_own = cv2.blur(own * alpha, side) / (weight + 1e-5)
    near_behind = cv2.blur(behind * (1 - alpha), side) / (1 - weight + 1e-5)
    away = picture - alpha * near_own - (1 - alpha) * near_behind
    return near_own + alpha * away, near_behind
