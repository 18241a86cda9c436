//! Black-box tests of the testbox binary.
