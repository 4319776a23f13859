"""temporary"""

from kernels.algorithm import Plan as Plan
from kernels.algorithm import UnsupportedError as UnsupportedError
