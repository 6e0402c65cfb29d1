//! The tests stand in targets of their own; nothing is shared between them.
