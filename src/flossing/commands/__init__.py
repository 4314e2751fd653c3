"""The commands of the command line, one module each."""

from .._blas import one_blas_thread as one_blas_thread
