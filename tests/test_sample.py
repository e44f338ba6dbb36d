"""The real radiographs, where they are there."""

import numpy as np

from btxrd.data.annotations import find_outlines, lesion_mask, read_outline
from btxrd.data.cases import load_cases
from btxrd.data.pixels import decode_image


def test_sample_is_read_without_changes(sample):
    cases = load_cases(sample)
    assert len(cases) == 1200
    assert np.bincount(cases["label"]).tolist() == [602, 489, 109]
    outlines = {stem: read_outline(path) for stem, path in find_outlines(sample)[0].items()}
    assert set(outlines) == set(cases.loc[cases["label"] > 0, "stem"])
    shares = [lesion_mask(outline, 224).mean() for outline in outlines.values()]
    assert min(shares) > 0
    assert 0.005 < np.median(shares) < 0.05


def test_sample_images_are_decoded_with_contrast(sample):
    cases = load_cases(sample).sample(20, random_state=0)
    images = [decode_image(sample / path, 128, 2.0, 8) for path in cases["path"]]
    assert all(image.std() > 10 for image in images)
