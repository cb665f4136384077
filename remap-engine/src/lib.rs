//! Decides and carries out file remaps when a container is checkpointed with CRIU.
