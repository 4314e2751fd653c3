"""How many threads BLAS and LAPACK may use."""


def one_blas_thread() -> None:
    """Limits BLAS and LAPACK to one thread.

    Matrices here are small: threads cost more than they bring, and two processes or threads that each
    start a team of them slow each other down several times.
    """
    import scipy.linalg  # noqa: F401  (loads the library that is to be limited)
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")
