//! The behaviour suite. (To come.)
