pub(crate) use crate::tiny::TinyHarness as MemoryHarness;
