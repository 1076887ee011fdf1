"""Pictures on their way between NumPy and torch."""

import numpy as np
import torch

from answerprint import arrays


def test_planes_and_images_are_each_other_turned_over() -> None:
    planes = torch.arange(24.0).reshape(3, 2, 4)
    image = arrays.to_image(planes)
    assert image.shape == (2, 4, 3) and image.flags.c_contiguous and image[1, 2, 0] == planes[0, 1, 2]
    assert torch.equal(arrays.to_planes(image), planes) and arrays.to_planes(image).is_contiguous()
    assert arrays.to_planes(image[..., 0]).shape == (1, 2, 4)


def test_codes_are_rounded_and_clamped() -> None:
    planes = torch.tensor([-1.0, 0.4999 / 255, 2.0]).reshape(3, 1, 1)
    codes = arrays.to_codes(planes)
    assert codes.dtype == np.uint8 and codes.ravel().tolist() == [0, 0, 255]
    assert arrays.to_bgr(codes).ravel().tolist() == [255, 0, 0]
    assert arrays.from_codes(codes).ravel().tolist() == [0, 0, 1]


def test_sizes_are_width_and_height() -> None:
    image = np.ones((6, 4), np.float32)
    assert arrays.resize(image, (2, 3)).shape == (3, 2) and arrays.rescale(image, 0.5).shape == (3, 2)
    assert arrays.resize_planes(torch.ones(3, 6, 4), (2, 3)).shape == (3, 3, 2)
    assert arrays.box(image, 3).shape == arrays.gaussian(image, 1.0).shape == (6, 4)
