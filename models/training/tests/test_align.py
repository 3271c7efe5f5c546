import cv2
import numpy as np
import pytest

import align

SIDE = 640


def board(side=SIDE, seed=3):
    """A bare board, 0 and 255: traces of both directions, pads and holes."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side), 255, np.uint8)
    for _ in range(30):
        x, y, length = (int(v) for v in rng.integers(0, side, 3))
        end = (x + length // 2, y) if rng.random() < 0.5 else (x, y + length // 2)
        cv2.line(image, (x, y), end, 0, int(rng.integers(8, 20)))
    for _ in range(40):
        x, y = (int(v) for v in rng.integers(0, side, 2))
        cv2.circle(image, (x, y), int(rng.integers(12, 22)), 0, -1)
        cv2.circle(image, (x, y), 6, 255, -1)
    return image


def moved(image, dx=0.0, dy=0.0, stretch=(1.0, 1.0), turn=0.0):
    """The image displaced by dx, dy px, stretched and turned (radians) about its middle, and binarized."""
    middle = (np.array(image.shape[::-1]) - 1) / 2
    cos, sin = np.cos(turn), np.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag(stretch)
    offset = middle - linear @ middle + [dx, dy]
    matrix = np.column_stack((linear, offset))
    size = image.shape[::-1]
    warped = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.where(warped > 127, np.uint8(255), np.uint8(0))


def residual(one, other, border=16):
    """Share of differing pixels away from the border, beyond which nobody knows the board."""
    inner = np.s_[border:-border, border:-border]
    return float((one[inner] != other[inner]).mean())


@pytest.mark.parametrize("change", [{}, {"dx": 3, "dy": -7}, {"dx": 9}], ids=str)
def test_a_shift_by_whole_pixels_is_undone_exactly(change):
    template = board()
    test = moved(template, **change)
    assert residual(test, align.fit(test, template)) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"dx": -4.6, "dy": 8.3},
        {"stretch": (1.01, 1.0)},
        {"dx": 2.4, "dy": -1.7, "stretch": (0.99, 1.01)},
        {"dx": 1.3, "turn": 0.006},
    ],
    ids=str,
)
def test_a_moved_and_stretched_board_is_fitted_back(change):
    """To within half a pixel: a binary edge says no more about where it was."""
    template = board()
    test = moved(template, **change)
    left = residual(test, align.fit(test, template))
    assert left < 0.35 * residual(template, moved(template, 1, 1))
    assert left < 0.15 * residual(test, template)


def test_a_template_in_gray_comes_back_binary():
    template = cv2.GaussianBlur(board(), (0, 0), 1.0)
    fitted = align.fit(board(), template)
    assert set(np.unique(fitted)) == {0, 255}
    assert residual(board(), fitted) < 0.003


def test_a_defect_stays_a_difference():
    template = board()
    test = moved(template, 4.4, -3.2)
    test[300:330, 300:340] = 255 - test[300:330, 300:340]
    differ = test != align.fit(test, template)
    assert differ[300:330, 300:340].mean() > 0.9
    differ[296:334, 296:344] = False
    assert differ[16:-16, 16:-16].mean() < 0.35 * residual(template, moved(template, 1, 1))


@pytest.mark.parametrize("shape", [(500, 300), (128, 128), (100, 90), (641, 129)])
def test_any_size_is_covered_by_tiles(shape):
    template = np.ascontiguousarray(board(700)[: shape[0], : shape[1]])
    test = moved(template, 2, -1)
    fitted = align.fit(test, template)
    assert fitted.shape == shape
    assert residual(test, fitted) <= 0.25 * residual(test, template)
    for length in shape:
        covered = np.zeros(length, bool)
        for start in align.starts(length):
            covered[start : start + align.TILE] = True
        assert covered.all()


@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_board_neither_fails_nor_moves_the_template(value):
    empty = np.full((256, 256), value, np.uint8)
    assert (align.fit(empty, empty) == value).all()
    shifts, _ = align.displacement(empty // 255, empty // 255)
    assert np.abs(shifts).max() < 0.5


def test_a_shift_is_read_with_its_sign_and_its_curvature():
    """Pixel (x, y) of the board is (x + dx, y + dy) of the template; an edge says nothing along itself."""
    template = np.zeros((128, 128), np.uint8)
    template[:, 50:70] = 1
    test = np.roll(template, 5, 1)
    maps, _ = align.costs(test, template)
    shift, curvature = align.minimum(maps[0])
    assert shift[0] == -5
    assert curvature[0, 0] > 0 and curvature[1, 1] == pytest.approx(0, abs=1e-9)


def test_a_tile_stays_near_the_fit_of_all_tiles():
    """A repeating pattern fits as well a pitch away: the others know better."""
    size = 2 * align.REACH + 1
    map_ = np.full((size, size), 0.9)
    map_[align.REACH, align.REACH + 8] = 0.0
    map_[align.REACH + 1, align.REACH] = 0.5
    assert align.local(map_, np.zeros(2)) == pytest.approx([0, 1], abs=0.5)
    assert align.local(map_, np.array([7.0, 0.0])) == pytest.approx([8, 0], abs=0.5)


def test_vertex_finds_a_parabolas_lowest_point():
    def parabola(x):
        return 3 * (x - 0.3) ** 2 + 1

    assert align.vertex(parabola(-1), parabola(0), parabola(1)) == pytest.approx(0.3)
    assert align.vertex(1, 1, 1) == 0
    assert align.vertex(9, 1, 1) == pytest.approx(0.5)


def test_mismatch_is_nothing_for_ones_own_template_and_about_one_for_a_strangers():
    template, stranger = board(), board(seed=4)
    test = moved(template, 4.4, -3.2)
    test[300:330, 300:340] = 255 - test[300:330, 300:340]
    assert align.mismatch(test, align.fit(test, template)) < 0.1 < align.MOST_MISMATCH
    assert align.mismatch(test, align.fit(test, stranger)) > 2 * align.MOST_MISMATCH
    far = moved(template, 20, 0)  # beyond REACH
    assert align.mismatch(far, align.fit(far, template)) > align.MOST_MISMATCH


def test_a_defect_on_a_bare_board_is_no_stranger():
    bare = np.full((640, 640), 255, np.uint8)
    test = bare.copy()
    test[:40, :40] = 0
    assert align.mismatch(test, bare) == pytest.approx(1600 / 640**2 / align.LEAST_CHANCE)
