//! The CRIU action script through which the remap engine is called.
