"""What the tests of an ordinary program (sharing.ordinary) may take from installed packages, where these are ready.

Of a package that is not listed, or a name that is not, each test gets a process of its own. Nothing here keeps what it
is given, changes how others behave (`seterr`, `set_printoptions`), leads to memory (`lib.stride_tricks`, `ctypeslib`)
or shows what was there before (`empty`, `ndarray`, the argument `where`). The state of `numpy.random` is restored
before each test.
"""

_NUMPY = """
    abs absolute add all allclose amax amin any append apply_along_axis arange arccos arccosh arcsin arcsinh arctan
    arctan2 arctanh argmax argmin argpartition argsort argwhere around array array_equal array_split asarray atleast_1d
    atleast_2d average bincount bitwise_and bitwise_not bitwise_or bitwise_xor block bool bool_ broadcast_arrays
    broadcast_to c_ cbrt ceil choose clip column_stack complex128 complex64 compress concatenate conj convolve copy
    corrcoef correlate cos cosh count_nonzero cov cross cumprod cumsum deg2rad degrees delete diag diag_indices diagonal
    diff digitize divide divmod dot dstack dtype e ediff1d einsum equal exp exp2 expand_dims expm1
    extract eye fabs fill_diagonal flatnonzero flip fliplr flipud float16 float32 float64 float_power floor
    floor_divide fmax fmin fmod full full_like gcd gradient greater greater_equal histogram hsplit hstack hypot identity
    imag in1d indices inf inner insert int16 int32 int64 int8 int_ integer interp intersect1d invert isclose isfinite
    isin isinf isnan isreal isscalar ix_ kron lcm left_shift less less_equal lexsort linspace log log10 log1p log2
    logaddexp logical_and logical_not logical_or logical_xor logspace matmul max maximum mean median meshgrid min
    minimum
    mod moveaxis multiply nan nan_to_num nanargmax nanargmin nanmax nanmean nanmedian nanmin nanstd nansum ndim
    negative newaxis nonzero not_equal number object_ ones ones_like outer pad partition percentile pi polyadd polyfit
    polymul polyval power prod ptp quantile r_ rad2deg radians ravel ravel_multi_index real reciprocal remainder repeat
    reshape right_shift rint roll rollaxis roots rot90 round searchsorted select setdiff1d setxor1d shape sign signbit
    sin sinc sinh size sort split sqrt square squeeze stack std str_ subtract sum swapaxes take take_along_axis tan tanh
    tensordot tile trace transpose trapezoid tri tril tril_indices triu triu_indices true_divide trunc uint uint16
    uint32 uint64 uint8 union1d unique unravel_index vander var vdot vsplit vstack where zeros zeros_like
    fft linalg random testing
"""
LISTED = {
    "numpy": _NUMPY,
    "numpy.fft": "fft fft2 fftfreq ifft ifft2 irfft rfft",
    "numpy.linalg": "LinAlgError cholesky cond det eig eigh eigvals eigvalsh inv lstsq matrix_power matrix_rank norm "
    "pinv qr slogdet solve svd",
    "numpy.random": "choice normal permutation rand randint randn random random_sample seed shuffle uniform",
    "numpy.testing": "assert_allclose assert_almost_equal assert_array_almost_equal assert_array_equal "
    "assert_array_less assert_equal",
    "sortedcontainers": "SortedDict SortedItemsView SortedKeyList SortedKeysView SortedList SortedListWithKey "
    "SortedSet SortedValuesView",
}
