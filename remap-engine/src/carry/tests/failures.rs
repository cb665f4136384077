//! What holds after each way to fail.
