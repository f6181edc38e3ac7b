"""DICOM headers that are empty or wrong in one place and right in another."""

from __future__ import annotations

import numpy as np
import pytest
from image_files import dicom_item as item
from image_files import dicom_table as table
from image_files import write_dicom

from d24fad_lite.data.formats.dicom import read_dicom

X = np.mgrid[0:20, 0:20][1]
RAMP = (X * 215).astype(np.uint16)
CURVE = 65535 - np.sqrt(np.arange(4096)) * 1000


@pytest.mark.parametrize(
    "empty",
    [
        item(FrameVOILUTSequence=[item()], PixelValueTransformationSequence=[item(RescaleSlope=None)]),
        item(FrameVOILUTSequence=[item(WindowWidth=400)]),
        item(FrameVOILUTSequence=[item(VOILUTSequence=[item()])]),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_empty_functional_groups_hide_neither_shared_ones_nor_the_dataset(tmp_path, empty, shared):
    window, rescale = {"WindowCenter": 40, "WindowWidth": 400}, {"RescaleSlope": 1, "RescaleIntercept": -1024}
    groups = item(FrameVOILUTSequence=[item(**window)], PixelValueTransformationSequence=[item(**rescale)])
    told = {"SharedFunctionalGroupsSequence": [groups]} if shared else window | rescale
    enhanced = write_dicom(tmp_path / "a.dcm", RAMP, PerFrameFunctionalGroupsSequence=[empty], **told)
    assert np.array_equal(read_dicom(enhanced), read_dicom(write_dicom(tmp_path / "b.dcm", RAMP, **window | rescale)))


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_table_of_more_bits_than_it_says_is_not_cut_to_white(tmp_path, sequence):
    files = [write_dicom(tmp_path / f"{n}.dcm", RAMP, **{sequence: [table(CURVE, bits=n)]}) for n in (8, 16)]
    assert np.array_equal(*map(read_dicom, files))


def test_a_table_that_begins_below_zero_is_read_so_whatever_sign_its_header_gives(tmp_path):
    elements = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    path = write_dicom(tmp_path / "a.dcm", RAMP, VOILUTSequence=[table(CURVE, first=2**16 - 1024)], **elements)
    assert np.abs(read_dicom(path) - CURVE.astype(np.uint16)[RAMP] / 65535).max() < 1e-6
