//! Nothing: the programs are the examples beside this file.
