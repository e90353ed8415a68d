"""Types of arrays, by what is in them."""

import numpy as np
from numpy.typing import NDArray

#: Real numbers.
FloatArray = NDArray[np.float64]
#: Places in other arrays.
IndexArray = NDArray[np.intp]
#: Whole numbers that are kept on disk and dealt with by torch: pictures, rows, labels.
WholeArray = NDArray[np.int64]
