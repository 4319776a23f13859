"""The few functions of cuDNN's forward-convolution interface that this project calls, through ctypes.

Source: NVIDIA cuDNN API reference, `cudnn_cnn` and `cudnn_graph` libraries. The library is the one that PyTorch has
loaded, so both measure the same build.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_void_p
from functools import cache

import torch

from ..problem import ConvProblem

#: cudnnConvolutionFwdAlgo_t. cuDNN implements all of it but 3 (DIRECT).
FORWARD_ALGORITHMS = {
    "cudnn_implicit_gemm": 0,
    "cudnn_implicit_precomp_gemm": 1,
    "cudnn_gemm": 2,
    "cudnn_fft": 4,
    "cudnn_fft_tiling": 5,
    "cudnn_winograd": 6,
    "cudnn_winograd_nonfused": 7,
}

_FLOAT = 0  # CUDNN_DATA_FLOAT
_NCHW = 0  # CUDNN_TENSOR_NCHW
_CROSS_CORRELATION = 1  # CUDNN_CROSS_CORRELATION: the filter is not flipped
_DEFAULT_MATH = 0  # CUDNN_DEFAULT_MATH: TF32 allowed since Ampere
_FMA_MATH = 3  # CUDNN_FMA_MATH: FP32 multiply-add only


class CudnnError(Exception):
    """A cuDNN call failed. `not_supported` tells a declined problem from a failure."""

    def __init__(self, call: str, status: int, reason: str) -> None:
        super().__init__(f"{call}: {reason}")
        # cuDNN 8 has one such status; since cuDNN 9 the thousands are a category.
        self.not_supported = status == 9 or 3000 <= status < 4000


@cache
def library() -> ctypes.CDLL:
    """PyTorch's cuDNN. Raises OSError where PyTorch has none (a CPU build)."""
    version = torch.backends.cudnn.version()
    if version is None:
        raise OSError("this PyTorch has no cuDNN")
    return ctypes.CDLL(f"libcudnn.so.{version // 10000 or version // 1000}")


def _call(name: str, *arguments: object) -> None:
    status = getattr(library(), name)(*arguments)
    if status != 0:
        raise CudnnError(name, status, _reason(status))


def _reason(status: int) -> str:
    describe = library().cudnnGetErrorString
    describe.restype = c_char_p
    reason = describe(c_int(status)).decode()
    if hasattr(library(), "cudnnGetLastErrorString"):  # since cuDNN 9
        detail = ctypes.create_string_buffer(1024)
        library().cudnnGetLastErrorString(detail, c_size_t(len(detail)))
        reason += f" ({' '.join(detail.value.decode(errors='replace').split())})" if detail.value else ""
    return reason


#: What creates an object -> what destroys it.
_DESTROYED_BY = {
    "cudnnCreate": "cudnnDestroy",
    "cudnnCreateTensorDescriptor": "cudnnDestroyTensorDescriptor",
    "cudnnCreateFilterDescriptor": "cudnnDestroyFilterDescriptor",
    "cudnnCreateConvolutionDescriptor": "cudnnDestroyConvolutionDescriptor",
}


class Convolution:
    """One forward convolution: a handle and descriptors, FP32 NCHW. To be closed after use."""

    def __init__(self, problem: ConvProblem, tf32: bool) -> None:
        """`problem` is padded evenly: a descriptor has one number for both sides.

        Raises CudnnError if cuDNN rejects the sizes, OSError if there is no cuDNN.
        """
        self._created: list[tuple[str, c_void_p]] = []
        try:
            self._describe(problem, tf32)
        except CudnnError:
            self.close()
            raise

    def _describe(self, problem: ConvProblem, tf32: bool) -> None:
        self._handle = self._create("cudnnCreate")
        self._input = self._create("cudnnCreateTensorDescriptor")
        self._filter = self._create("cudnnCreateFilterDescriptor")
        self._output = self._create("cudnnCreateTensorDescriptor")
        self._convolution = self._create("cudnnCreateConvolutionDescriptor")
        _call("cudnnSetTensor4dDescriptor", self._input, _NCHW, _FLOAT, *problem.input_shape)
        _call("cudnnSetTensor4dDescriptor", self._output, _NCHW, _FLOAT, *problem.output_shape)
        # A filter's channels are those of a group.
        _call("cudnnSetFilter4dDescriptor", self._filter, _FLOAT, _NCHW, *problem.filter_shape)
        (above, _), (left, _) = problem.padding
        sizes = (above, left, *problem.stride, *problem.dilation)  # height before width
        _call("cudnnSetConvolution2dDescriptor", self._convolution, *sizes, _CROSS_CORRELATION, _FLOAT)
        _call("cudnnSetConvolutionGroupCount", self._convolution, problem.groups)
        _call("cudnnSetConvolutionMathType", self._convolution, _DEFAULT_MATH if tf32 else _FMA_MATH)

    def _create(self, call: str) -> c_void_p:
        made = c_void_p()
        _call(call, byref(made))
        self._created.append((call, made))
        return made

    def close(self) -> None:
        """Destroy the descriptors and the handle, the last one first. Raises CudnnError."""
        while self._created:
            call, made = self._created.pop()
            _call(_DESTROYED_BY[call], made)

    def workspace_bytes(self, algorithm: int) -> int:
        """Bytes of workspace that `algorithm` asks for. Raises CudnnError if it declines the problem."""
        size = c_size_t()
        _call(
            "cudnnGetConvolutionForwardWorkspaceSize",
            self._handle,
            self._input,
            self._filter,
            self._convolution,
            self._output,
            c_int(algorithm),
            byref(size),
        )
        return size.value

    def forward(
        self, algorithm: int, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, workspace: torch.Tensor
    ) -> None:
        """Y = X * F on PyTorch's current stream. Raises CudnnError if cuDNN declines or fails."""
        one, zero = c_float(1.0), c_float(0.0)
        _call("cudnnSetStream", self._handle, c_void_p(torch.cuda.current_stream().cuda_stream))
        _call(
            "cudnnConvolutionForward",
            self._handle,
            byref(one),
            self._input,
            c_void_p(x.data_ptr()),
            self._filter,
            c_void_p(f.data_ptr()),
            self._convolution,
            c_int(algorithm),
            c_void_p(workspace.data_ptr()),
            c_size_t(workspace.numel()),
            byref(zero),
            self._output,
            c_void_p(y.data_ptr()),
        )
