//! How an environment names its broker. (To come.)
